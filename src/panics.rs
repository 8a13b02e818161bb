//! Panics: faults of the program or of a crate that it uses, told to the user as one line instead of a trace.

use std::any::Any;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the last panic of any thread said, and where it was. A thread that is joined hands on no more than that it panicked.
static LAST: Mutex<Option<Said>> = Mutex::new(None);

struct Said {
    text: String,
    place: String,
}

/// From now on, panics are kept for [`describe`] instead of printed. With `RUST_BACKTRACE` set they are printed as well.
pub fn keep() {
    let print = std::panic::take_hook();
    let is_wanted = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map_or_else(String::new, |place| format!("{}:{}", place.file(), place.line()));
        *last() = Some(Said { text: text(info.payload()).to_owned(), place });
        if is_wanted {
            print(info);
        }
    }));
}

/// What a caught panic said, on one line, and where it was, as far as that is known.
pub fn describe(payload: &(dyn Any + Send)) -> String {
    let text = text(payload);
    match &*last() {
        Some(said) if text == "a scoped thread panicked" || text.is_empty() || text == said.text => {
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
}
