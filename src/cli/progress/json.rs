//! Progress for programs: every event is one JSON object on one line, with the time in milliseconds since 1970 (UTC).

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::engine::{Clock, Event, Events, describe};
use crate::graph::StageId;
use crate::quote::printable_json;

/// Writes JSON lines.
pub(super) struct Json<'a, W> {
    out: Mutex<W>,
    clock: &'a dyn Clock,
}

impl<'a, W: Write> Json<'a, W> {
    pub(super) fn new(out: W, clock: &'a dyn Clock) -> Self {
        Self { out: Mutex::new(out), clock }
    }
}

impl<W: Write + Send> Events for Json<'_, W> {
    fn on(&self, event: &Event<'_>) {
        let time = u64::try_from(self.clock.now().as_millis()).unwrap_or(u64::MAX);
        let mut line = json!({ "time": time });
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields_of(event)) {
            line.extend(fields);
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that nobody reads any more must not end the run.
        let line = line.to_string();
        let _ = writeln!(out, "{}", printable_json(&line)).and_then(|()| out.flush());
    }
}

fn fields_of(event: &Event<'_>) -> Value {
    let names = |stages: &[StageId]| stages.iter().map(StageId::to_string).collect::<Vec<_>>();
    match event {
        Event::RunStarted { pipeline, stages } => json!({ "event": "run_started", "pipeline": pipeline, "stages": stages }),
        Event::Cached { stage } => json!({ "event": "cached", "stage": stage }),
        Event::Started { stage, kind, reasons } => {
            json!({ "event": "started", "stage": stage, "kind": kind, "reasons": reasons, "text": describe(reasons) })
        }
        Event::Begin { stage, what, total, unit } => {
            json!({ "event": "begin", "stage": stage, "what": what, "total": total, "unit": unit })
        }
        Event::Advance { stage, done, message } => {
            json!({ "event": "advance", "stage": stage, "done": done, "message": message })
        }
        Event::Note { stage, line } => json!({ "event": "note", "stage": stage, "text": line }),
        Event::Warning { stage, line } => json!({ "event": "warning", "stage": stage, "text": line }),
        Event::Restored { stage, places } => json!({ "event": "restored", "stage": stage, "files": places }),
        Event::Finished { stage, seconds, unchanged } => {
            json!({ "event": "finished", "stage": stage, "seconds": seconds, "unchanged": unchanged })
        }
        Event::Failed { stage, error, seconds } => {
            json!({ "event": "failed", "stage": stage, "seconds": seconds, "error": error.to_string() })
        }
        Event::Interrupted { stage, seconds } => json!({ "event": "interrupted", "stage": stage, "seconds": seconds }),
        Event::Skipped { stage, missing } => json!({ "event": "skipped", "stage": stage, "missing": names(missing) }),
        Event::RunFinished { outcome } => json!({ "event": "run_finished", "outcome": outcome }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Outcome, Reason, Signal, StageError};

    struct Noon;

    impl Clock for Noon {
        fn now(&self) -> std::time::Duration {
            std::time::Duration::from_millis(1500)
        }
    }

    #[test]
    fn every_event_is_a_line() {
        let json = Json::new(Vec::new(), &Noon);
        let stage = &"raw".parse::<StageId>().unwrap();
        let error = StageError::Gate("too\nbad".to_owned());
        json.on(&Event::RunStarted { pipeline: "toys", stages: 2 });
        json.on(&Event::Cached { stage });
        json.on(&Event::Started { stage, kind: "fetch", reasons: &[Reason::SeedChanged { old: None, new: Some(7) }] });
        json.on(&Event::Begin { stage, what: "reading", total: 3, unit: "rows" });
        json.on(&Event::Advance { stage, done: 1, message: "" });
        json.on(&Event::Warning { stage: None, line: "odd" });
        json.on(&Event::Finished { stage, seconds: 1.5, unchanged: false });
        json.on(&Event::Failed { stage, error: &error, seconds: 1.5 });
        json.on(&Event::Skipped { stage, missing: std::slice::from_ref(stage) });
        json.on(&Event::RunFinished { outcome: Outcome::Interrupted(Signal::Terminate) });
        let text = String::from_utf8(json.out.into_inner().unwrap()).unwrap();
        insta::assert_snapshot!(text, @r#"
        {"time":1500,"event":"run_started","pipeline":"toys","stages":2}
        {"time":1500,"event":"cached","stage":"raw"}
        {"time":1500,"event":"started","stage":"raw","kind":"fetch","reasons":[{"reason":"seed_changed","old":null,"new":7}],"text":"seed: none → 7"}
        {"time":1500,"event":"begin","stage":"raw","what":"reading","total":3,"unit":"rows"}
        {"time":1500,"event":"advance","stage":"raw","done":1,"message":""}
        {"time":1500,"event":"warning","stage":null,"text":"odd"}
        {"time":1500,"event":"finished","stage":"raw","seconds":1.5,"unchanged":false}
        {"time":1500,"event":"failed","stage":"raw","seconds":1.5,"error":"too\nbad"}
        {"time":1500,"event":"skipped","stage":"raw","missing":["raw"]}
        {"time":1500,"event":"run_finished","outcome":{"interrupted":"terminate"}}
        "#);
    }
}
