//! Does operations to a registry and to its model, and compares.

use crate::content::Content;
use crate::expected::Expected;
use crate::history::History;
use crate::it::harness::Answer;
use crate::model::Model;
use crate::operation::{Operation, shorten};
use crate::parts::random::Random;
use crate::request::{Client, Request, request};
use crate::tally::Tally;

/// How many sessions that are over are remembered, to be asked for again.
const SESSIONS_OVER: usize = 4;

/// One who asks.
pub struct Player<'c> {
    pub client: Client,
    pub model: Model,
    pub content: &'c Content,
    /// Chooses among servers, and what a session is for.
    pub random: Random,
    pub tally: Tally,
    pub history: History,
}

impl<'c> Player<'c> {
    pub fn new(who: String, client: Client, content: &'c Content, random: Random) -> Self {
        let (model, tally) = Default::default();
        Self { client, model, content, random, tally, history: History::of(who) }
    }

    /// Does an operation, and panics with what led to it if it is not answered as foreseen.
    pub fn play(&mut self, operation: &Operation) {
        match operation {
            Operation::MountOrSend { name, digest, .. } => self.mount_or_send(operation, name, digest),
            _ => {
                let request = request(operation, &self.model, self.content).expect("a request");
                let expected = self.model.predict(operation, self.content);
                let server = self.any_server();
                let answer = self.ask(server, &request, operation);
                if let Err(difference) = expected.check(request.method == "HEAD", &answer) {
                    self.fail(&expected, &answer, &difference);
                }
                self.begin_if_begun(operation, &answer);
            }
        }
        let over = self.model.sessions.iter().filter(|(_, session)| session.bytes.is_none());
        let over: Vec<usize> = over.map(|(number, _)| *number).collect();
        for number in over.iter().rev().skip(SESSIONS_OVER) {
            self.model.sessions.remove(number);
        }
    }

    fn any_server(&mut self) -> usize {
        self.random.below(self.client.servers())
    }

    fn ask(&mut self, server: usize, request: &Request, operation: &Operation) -> Answer {
        let answer = self.client.send(server, request);
        self.note(server, operation, &answer);
        answer
    }

    /// Writes down an operation that was answered.
    pub fn note(&mut self, server: usize, operation: &Operation, answer: &Answer) {
        self.tally.note(answer.status);
        let number = self.tally.total();
        self.history.remember(format!("#{number} server {server} {} {operation}", answer.status));
    }

    fn begin_if_begun(&mut self, operation: &Operation, answer: &Answer) {
        let (name, blob) = match operation {
            Operation::Start { name, .. } => (name, self.random.below(self.content.blobs.len())),
            Operation::Mount { name, digest, .. } if answer.status == 202 => {
                let blobs = &self.content.blobs;
                (name, blobs.iter().position(|blob| blob.digest_like(digest) == digest).unwrap_or(0))
            }
            _ => return,
        };
        self.model.begin(name, blob, answer);
    }

    /// Whether it is there depends on others; in the end the repository holds it. Which servers are asked does
    /// not depend on them, nor anything that is chosen later.
    fn mount_or_send(&mut self, operation: &Operation, name: &str, digest: &str) {
        let (mounts, takes) = (self.any_server(), self.any_server());
        let mount = request(operation, &self.model, self.content).expect("a request");
        let mut answer = self.ask(mounts, &mount, operation);
        if answer.status == 202 {
            let location = answer.header("Location").expect("a location");
            let close = Request::new("PUT", format!("{location}?digest={digest}"));
            answer = self.ask(takes, &close.body(self.content.bytes(digest)), operation);
        }
        let created = Expected::new(201).header("Docker-Content-Digest", digest);
        if let Err(difference) = created.check(false, &answer) {
            self.fail(&created, &answer, &difference);
        }
        self.model.enter(name).blobs.insert(digest.to_owned());
    }

    fn fail(&self, expected: &Expected, answer: &Answer, difference: &str) -> ! {
        let story = format!(
            "{}\nwhich should have been answered by\n  {expected:?}\nand was answered by\n  {answer:?}\n\
             the difference: {difference}",
            self.history.told()
        );
        panic!("{}", shorten(&story));
    }
}
