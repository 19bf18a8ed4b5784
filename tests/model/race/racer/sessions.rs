//! Upload sessions that are open to all: whoever comes begins one, goes on, finishes or cancels it.

use super::super::course::Session;
use super::super::registers::Change;
use super::{Racer, finish};
use crate::it::harness::Answer;
use crate::request::{Request, blob, uploads};

/// How many there are.
const SESSIONS: usize = 3;

impl<'c> Racer<'c> {
    pub(super) fn use_session(&mut self, name: &'static str) {
        let number = self.random.below(SESSIONS);
        match (self.course.session(number), self.random.below(8)) {
            (None, _) | (Some(_), 0) => self.begin_session(name),
            (Some(session), 1) => self.cancel_session(&session),
            (Some(session), 2..6) => self.go_on(&session),
            (Some(session), _) => self.finish_session(&session),
        }
    }

    fn begin_session(&mut self, name: &'static str) {
        let (answer, _) = self.ask(&Request::new("POST", uploads(name)), &[202]);
        let location = answer.header("Location").expect("a location").to_owned();
        let blob = self.random.below(self.course.loose.len());
        self.course.open_session(Session { name, location, blob });
    }

    fn cancel_session(&mut self, session: &Session) {
        let (answer, _) = self.ask(&Request::new("DELETE", session.location.clone()), &[204, 404, 409]);
        self.forget_unless_busy(session, &answer);
    }

    /// It is over, unless somebody is writing to it or has written to it.
    fn forget_unless_busy(&self, session: &Session, answer: &Answer) {
        if !matches!(answer.status, 202 | 409 | 416) {
            self.course.close_session(&session.location);
        }
    }

    /// The next piece of the blob, which somebody else may be sending, too.
    fn go_on(&mut self, session: &Session) {
        let Some((rest, range)) = self.rest(session) else { return };
        let end = 1 + self.random.below(rest.len());
        let range = format!("{range}-{}", range + end - 1);
        let patch = Request::new("PATCH", session.location.clone()).header("Content-Range", range);
        let (answer, _) = self.ask(&patch.body(&rest[..end]), &[202, 404, 409, 416]);
        self.forget_unless_busy(session, &answer);
    }

    /// With all that is missing; or without, which ends it as well (400).
    fn finish_session(&mut self, session: &Session) {
        let blob_of = &self.course.loose[session.blob];
        let mut close = finish(&session.location, &blob_of.sha256);
        let mut allowed = vec![201, 404, 409];
        match self.rest(session).filter(|_| !self.random.one_in(4)) {
            Some((rest, first)) => {
                let range = format!("{first}-{}", first + rest.len() - 1);
                close = close.header("Content-Range", range).body(rest);
                allowed.push(416);
            }
            None => allowed.push(400),
        }
        let (answer, span) = self.ask(&close, &allowed);
        self.forget_unless_busy(session, &answer);
        if answer.status == 201 {
            let digest = blob_of.sha256.clone();
            self.change(&blob(session.name, &digest), span, Change::To(Some(digest)));
        }
    }

    /// What of its blob a session does not have, and from which byte on that is, as it says; none if it has all,
    /// or is over.
    fn rest(&mut self, session: &Session) -> Option<(&'c [u8], usize)> {
        let (answer, _) = self.ask(&Request::new("GET", session.location.clone()), &[204, 404]);
        if answer.status == 404 {
            self.course.close_session(&session.location);
            return None;
        }
        let last = answer.header("Range").and_then(|range| range.strip_prefix("0-")).expect("a range");
        let first = match last.parse().expect("a number") {
            0 => 0, // or one byte; then it will be refused
            last => last + 1,
        };
        let rest = &self.course.loose[session.blob].bytes[first..];
        (!rest.is_empty()).then_some((rest, first))
    }
}
