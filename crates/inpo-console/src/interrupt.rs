//! Ctrl-C, SIGTERM and SIGHUP: the first one stops a run at the next moment from which it can be resumed, the second at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use crate::form::{tell, tell_error};
use crate::meter::Meter;

/// Whether the run was asked to stop.
static ASKED: AtomicBool = AtomicBool::new(false);

/// Whether the stage under way stops by itself when it is asked. Any other one keeps what it has as it comes, or is short.
static STOPS: AtomicBool = AtomicBool::new(false);

/// The meter that is shown.
static SHOWN: Mutex<Option<Meter>> = Mutex::new(None);

/// Takes the signals from now on. Where that is impossible they end the process, which loses nothing that is saved.
pub(crate) fn take_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = ctrlc::set_handler(asked);
    });
}

fn asked() {
    if STOPS.load(Ordering::SeqCst) && !ASKED.swap(true, Ordering::SeqCst) {
        let sentence = "stopping as soon as what is under way is saved; once more stops at once";
        let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match shown {
            Some(meter) => meter.suspend(|| tell(sentence)),
            None => tell(sentence),
        }
        return;
    }
    tell_error("stopped; pass --resume to go on from what is saved");
    std::process::exit(1);
}

/// Says whether the stage that begins stops by itself.
pub(crate) fn stage_stops(stops: bool) {
    STOPS.store(stops, Ordering::SeqCst);
}

/// Says which meter is shown from now on.
pub(crate) fn shows(meter: Option<Meter>) {
    *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = meter;
}

/// Whether the run was asked to stop.
pub(crate) fn is_asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
