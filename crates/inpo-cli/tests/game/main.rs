//! `inpo game` from outside: its JSON contracts and its refusals.

mod bench;
mod convert;
mod exact;
mod methods;
