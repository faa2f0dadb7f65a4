//! Foreign Jinja templates, held within limits.
//!
//! A template comes with a model or a judge and is foreign code. minijinja counts its instructions and limits the depth of
//! its calls, but one instruction can take any time and memory: a list that holds another twice, forty times over, is
//! compared and printed by 2^40 steps. [`guarded`] therefore writes a template anew: every value that an expression makes
//! goes through a filter that weighs it, `+`, `~` and `*` become filters that look at their operands first, and text between
//! tags becomes an expression too. The limits then hold for every operation:
//!
//! | what | at most |
//! |---|---|
//! | instructions of a rendering | [`FUEL`] |
//! | nesting of blocks, macros and their calls | [`DEEPEST_CALL`] |
//! | lists and objects inside each other | [`DEEPEST`] |
//! | parts of a value, counted as often as they can be reached | [`MOST`] |
//! | bytes of a text | [`LONGEST_TEXT`] |
//! | steps of weighing and comparing in a rendering | [`STEPS`] |
//! | bytes of all values that a rendering makes | [`MADE`] |
//!
//! A namespace may not be stored in a value: it could hold itself.

use std::cell::Cell;

use minijinja::value::{Rest, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value};

use crate::caught;

mod operators;
#[cfg(test)]
mod tests;
mod writer;

pub use operators::check_format;
pub use writer::guarded;

/// Instructions of one rendering; a message takes a few hundred.
pub const FUEL: u64 = 4_000_000;
/// The deepest nesting of blocks, macros and their calls.
pub const DEEPEST_CALL: usize = 200;
/// The deepest nesting of lists and objects in a value.
pub const DEEPEST: usize = 100;
/// The most parts of a value: each item of a list counts as often as it can be reached, and 256 bytes of text count as one.
pub const MOST: u64 = 1 << 20;
/// The longest text in bytes.
pub const LONGEST_TEXT: usize = 8 << 20;
/// Steps of weighing in one rendering: one for each part of a value, and one for 16 bytes of a text by itself.
pub const STEPS: u64 = 20_000_000;
/// Bytes of all texts and lists that one rendering makes.
pub const MADE: u64 = 1 << 29;

/// The stack of a rendering: the engine compiles, compares and drops by recursion. Only what is used is ever mapped.
const STACK: usize = 1 << 29;

/// The filters that [`guarded`] writes into a template.
mod names {
    /// Weighs a value that is read.
    pub(super) const WEIGHED: &str = "inpo_weighed";
    /// Weighs a value that was made.
    pub(super) const MADE: &str = "inpo_made";
    /// Weighs a value that was made, and makes a list of what is iterated lazily.
    pub(super) const LISTED: &str = "inpo_listed";
    /// Weighs a value that a namespace is to hold.
    pub(super) const STORED: &str = "inpo_stored";
    /// The operators `+`, `~` and `*`.
    pub(super) const PLUS: &str = "inpo_plus";
    pub(super) const JOINED: &str = "inpo_joined";
    pub(super) const TIMES: &str = "inpo_times";
}

thread_local! {
    static STEPS_LEFT: Cell<u64> = const { Cell::new(STEPS) };
    static MADE_LEFT: Cell<u64> = const { Cell::new(MADE) };
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

fn take(left: &'static std::thread::LocalKey<Cell<u64>>, amount: u64) -> bool {
    let rest = left.get().checked_sub(amount);
    left.set(rest.unwrap_or(0));
    rest.is_some()
}

/// Takes `count` steps of this rendering's [`STEPS`].
///
/// # Errors
/// A rendering that has none left.
pub fn step(count: u64) -> Result<(), Error> {
    if take(&STEPS_LEFT, count) {
        return Ok(());
    }
    Err(invalid(format!(
        "the template takes more than {STEPS} steps"
    )))
}

/// Checks the length of a text that is being made, in bytes.
///
/// # Errors
/// A text that is too long.
pub fn fits(bytes: usize) -> Result<(), Error> {
    if bytes > LONGEST_TEXT {
        return Err(invalid(format!(
            "a text of the template has more than {LONGEST_TEXT} bytes"
        )));
    }
    Ok(())
}

/// Checks a text of `bytes` bytes as [`fits`] does, and takes them of this rendering's [`MADE`].
///
/// # Errors
/// A text that is too long, a rendering that has made too much.
pub fn make(bytes: usize) -> Result<(), Error> {
    fits(bytes)?;
    made(bytes as u64)
}

fn made(bytes: u64) -> Result<(), Error> {
    if take(&MADE_LEFT, bytes) {
        return Ok(());
    }
    Err(invalid(format!(
        "the values of the template have more than {MADE} bytes"
    )))
}

/// The error for a value that nests too deep.
#[must_use]
pub fn too_deep() -> Error {
    invalid(format!(
        "a value nests more than {DEEPEST} lists and objects"
    ))
}

/// Walks through a value, and refuses one that is too deep or too large; takes a step for each part.
///
/// # Errors
/// A value beyond the limits, a namespace inside it, a rendering without steps.
pub fn weigh(value: &Value) -> Result<(), Error> {
    weigh_part(value, 0, &mut 0)
}

fn weigh_part(value: &Value, depth: usize, parts: &mut u64) -> Result<(), Error> {
    if depth > DEEPEST {
        return Err(too_deep());
    }
    let bytes = value
        .as_str()
        .map(str::len)
        .or_else(|| value.as_bytes().map(<[u8]>::len));
    let bytes = bytes.unwrap_or(0);
    fits(bytes)?;
    let size = 1 + bytes as u64 / 256;
    *parts += size;
    if *parts > MOST {
        return Err(invalid(format!("a value has more than {MOST} parts")));
    }
    // A text by itself may be read letter by letter; one in a list is compared or copied.
    step(if depth == 0 {
        1 + bytes as u64 / 16
    } else {
        size
    })?;
    if depth > 0 && is_namespace(value) {
        return Err(invalid(
            "a namespace cannot be stored in another value".to_owned(),
        ));
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable if value.len() != Some(0) => {
            for item in value.try_iter()? {
                weigh_part(&item, depth + 1, parts)?;
            }
        }
        ValueKind::Map => {
            for key in value.try_iter()? {
                weigh_part(&value.get_item(&key)?, depth + 1, parts)?;
                weigh_part(&key, depth + 1, parts)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn is_namespace(value: &Value) -> bool {
    let object = value.as_object();
    object.is_some_and(|object| object.type_name().ends_with("::Namespace"))
}

/// Weighs a value that was made, and takes its bytes.
fn weigh_made(value: Value) -> Result<Value, Error> {
    match value.as_str() {
        Some(text) => make(text.len())?,
        None => {
            weigh(&value)?;
            made(value.len().unwrap_or(0) as u64 * 64)?;
        }
    }
    Ok(value)
}

/// The items of a list, also of a lazy one, that become a list.
fn items(value: &Value) -> Result<Vec<Value>, Error> {
    let mut items = Vec::new();
    if value.len() == Some(0) {
        return Ok(items);
    }
    for item in value.try_iter()? {
        if items.len() as u64 >= MOST {
            return Err(invalid(format!("a list has more than {MOST} items")));
        }
        items.push(item);
    }
    step(items.len() as u64)?;
    Ok(items)
}

fn listed(value: Value) -> Result<Value, Error> {
    let value = match value.kind() {
        ValueKind::Iterable => Value::from(items(&value)?),
        _ => value,
    };
    weigh_made(value)
}

fn stored(value: Value) -> Result<Value, Error> {
    if is_namespace(&value) {
        return Err(invalid(
            "a namespace cannot be stored in another value".to_owned(),
        ));
    }
    weigh(&value)?;
    Ok(value)
}

/// Prints a value as `print` does, within the limits.
///
/// # Errors
/// A rendering that has made too much, and what `print` refuses.
pub fn format(out: &mut Output, state: &State, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => make(text.len())?,
        None => weigh(value)?,
    }
    minijinja::escape_formatter(out, state, value)
}

/// An environment with the limits, for templates that [`guarded`] wrote.
#[must_use]
pub fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEEPEST_CALL);
    environment.set_keep_trailing_newline(true);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(format);
    environment.set_debug(false);
    let one = |mut args: Rest<Value>| args.0.pop().unwrap_or_default();
    environment.add_filter(names::WEIGHED, move |args: Rest<Value>| {
        let value = one(args);
        weigh(&value).map(|()| value)
    });
    environment.add_filter(names::MADE, move |args: Rest<Value>| weigh_made(one(args)));
    environment.add_filter(names::LISTED, move |args: Rest<Value>| listed(one(args)));
    environment.add_filter(names::STORED, move |args: Rest<Value>| stored(one(args)));
    operators::add_to(&mut environment);
    // It prints all that the engine knows.
    environment.remove_global("debug");
    environment
}

/// Runs `work`, that compiles or renders a template, on a stack of its own with the limits as new.
///
/// # Errors
/// In words: no thread, or a panic in the engine.
pub fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let started = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, || caught(work));
        let thread = started.map_err(|e| format!("no thread could be started for it: {e}"))?;
        thread
            .join()
            .ok()
            .flatten()
            .ok_or_else(|| "the template engine panicked".to_owned())
    })
}
