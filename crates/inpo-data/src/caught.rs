//! Foreign code that may panic.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// How many calls of [`caught`] this thread is in.
    static INSIDE: Cell<usize> = const { Cell::new(0) };
}

static HOOK: Once = Once::new();

/// Runs `work`, a call of a library on foreign data: a panic in it is `None`, and its message is not printed.
///
/// What `work` changes may be half changed after a panic; do not use it again. Panics elsewhere are reported as before.
pub fn caught<T>(work: impl FnOnce() -> T) -> Option<T> {
    HOOK.call_once(|| {
        let report = take_hook();
        set_hook(Box::new(move |panic| {
            if INSIDE.try_with(Cell::get).unwrap_or(0) == 0 {
                report(panic);
            }
        }));
    });
    INSIDE.set(INSIDE.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(work));
    INSIDE.set(INSIDE.get() - 1);
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_none() {
        assert_eq!(caught(|| 1), Some(1));
        assert_eq!(
            caught(|| caught(|| panic!("not printed"))),
            Some(None::<()>)
        );
        assert_eq!(INSIDE.get(), 0);
    }
}
