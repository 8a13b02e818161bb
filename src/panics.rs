//! Panics: faults of the program or of a crate that it uses, told to the user as one line instead of a trace.

use std::any::Any;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the last panic of any thread said, and where it was, but for those that only hand on another's.
static LAST: Mutex<Option<Said>> = Mutex::new(None);

struct Said {
    text: String,
    place: String,
}

/// How a scope panics when one of its threads has panicked; it does not say why.
const SCOPED: &str = "a scoped thread panicked";

/// From now on, panics are kept for [`describe`] instead of printed. With `RUST_BACKTRACE` set they are printed as well.
pub fn keep() {
    let print = std::panic::take_hook();
    let is_wanted = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map_or_else(String::new, |place| format!("{}:{}", place.file(), place.line()));
        note(text(info.payload()), place);
        if is_wanted {
            print(info);
        }
    }));
}

fn note(text: &str, place: String) {
    if text != SCOPED {
        *last() = Some(Said { text: text.to_owned(), place });
    }
}

/// What a caught panic said, on one line, and where it was, as far as that is known.
pub fn describe(payload: &(dyn Any + Send)) -> String {
    let text = text(payload);
    match &*last() {
        Some(said) if text == SCOPED || text.is_empty() || text == said.text => {
            format!("{} ({})", one_line(&said.text), said.place)
        }
        _ => one_line(text),
    }
}

fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() { "no message".to_owned() } else { line }
}

fn text(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default()
}

fn last() -> MutexGuard<'static, Option<Said>> {
    LAST.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_one_line() {
        let payload = std::panic::catch_unwind(|| panic!("no more\n  ideas")).unwrap_err();
        assert!(describe(&*payload).starts_with("no more ideas"), "{}", describe(&*payload));
        let silent = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(7))).unwrap_err();
        assert!(!describe(&*silent).is_empty());
    }

    #[test]
    fn the_panic_of_a_scoped_thread_is_told_and_not_that_of_its_scope() {
        let scope = std::panic::catch_unwind(|| {
            std::thread::scope(|scope| {
                scope.spawn(|| panic!("no more ideas"));
            });
        });
        let payload = scope.unwrap_err();
        note("no more ideas", "a.rs:1".to_owned());
        note(text(&*payload), "scoped.rs:2".to_owned());
        assert_eq!(describe(&*payload), "no more ideas (a.rs:1)");
    }
}
