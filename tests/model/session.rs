//! Two writers at once to one upload session, each through any of two processes.
//!
//! What came of it must be what comes of one after the other, in one order or the other, as the model has it;
//! or one of them was refused because the other was at work (409), and the session is as if it had never
//! asked. Then the files are looked at: a blob has the bytes that its digest says, a session those that
//! were acknowledged, and nothing else is there.

use std::sync::Barrier;
use std::thread;

use serde_json::json;

use crate::content::{Blob, Content};
use crate::expected::Expected;
use crate::files;
use crate::it::harness::{Answer, Registry};
use crate::model::Model;
use crate::operation::{Chunk, Operation, Session};
use crate::parts::random::Random;
use crate::player::Player;
use crate::request::{Client, Request, request, uploads};
use crate::{Plan, QUIET};

const DUELS_PER_ROUND: u64 = 60;
const NAME: &str = "a";
/// Long enough that one is still being sent when the other begins.
const SIZES: [usize; 3] = [20_000, 300_000, 1_000_000];

/// How often what came of it.
#[derive(Default)]
struct Count {
    in_turn: usize,
    one_busy: usize,
}

pub fn run(plan: Plan) -> String {
    let content = stock(Random::new(plan.seed, &[4]));
    let registry = Registry::start_with(QUIET);
    let other = registry.start_beside();
    let servers = [registry.address, other.address];
    let random = Random::new(plan.seed, &[4, 1]);
    let mut player = Player::new("the two".to_owned(), Client::new(&servers), &content, random);
    let mut writers = [Client::new(&servers), Client::new(&servers)];
    let mut count = Count::default();
    let duels = plan.rounds * DUELS_PER_ROUND;
    for _ in 0..duels {
        let duel = begin(&mut player);
        fight(&mut player, &duel, &mut writers, &registry, &mut count);
        clear(&mut player);
    }
    files::assert_sound(&registry);
    let Count { in_turn, one_busy } = count;
    assert!(one_busy > 0, "in {duels} duels there were never two at once");
    format!("{duels} duels over 2 processes: {in_turn} in turn, {one_busy} refused one; {}", player.tally)
}

/// For each size three blobs: none of it, the first half, all of it.
fn stock(mut random: Random) -> Content {
    let mut content = Content::default();
    for size in SIZES {
        let bytes = random.bytes(size);
        for end in [0, size / 2, size] {
            content.add_blob(Blob::new(bytes[..end].to_vec()));
        }
    }
    content
}

/// Begins a session, with nothing or half a blob in it, and chooses what two want of it.
fn begin(player: &mut Player<'_>) -> [Operation; 2] {
    let whole = 3 * player.random.below(SIZES.len()) + 2;
    let start = Operation::Start { name: NAME.to_owned(), algorithm: None };
    let begun = player.client.send(0, &Request::new("POST", uploads(NAME)));
    player.note(0, &start, &begun);
    player.model.begin(NAME, whole, &begun);
    let number = *player.model.sessions.last_key_value().expect("it has begun").0;
    let at = Session { number, elsewhere: None };
    let half = whole - 1 - player.random.below(2);
    let bytes = player.content.blobs[half].bytes.to_vec();
    let chunk = Chunk { bytes, range: None, chunked: false };
    player.play(&Operation::Patch { at: at.clone(), chunk });
    let mut wants = || want(&mut player.random, player.content, &at, half, whole);
    [wants(), wants()]
}

/// Something to do with a session that holds the blob `half`, on its way to `whole`.
fn want(random: &mut Random, content: &Content, at: &Session, half: usize, whole: usize) -> Operation {
    let (at, half, whole) = (at.clone(), &content.blobs[half], &content.blobs[whole]);
    let (sent, end) = (half.bytes.len() as u64, whole.bytes.len() as u64);
    let range = random.one_in(2).then_some((sent, end - 1));
    let rest = Chunk { bytes: whole.bytes[half.bytes.len()..].to_vec(), range, chunked: random.one_in(3) };
    let nothing = Chunk { bytes: Vec::new(), range: None, chunked: false };
    match random.below(8) {
        0..3 => Operation::Patch { at, chunk: rest },
        3 => Operation::Finish { at, chunk: nothing, digest: Some(half.sha256.clone()) },
        4 => Operation::Finish { at, chunk: nothing, digest: Some(whole.sha256.clone()) },
        5 | 6 => Operation::Finish { at, chunk: rest, digest: Some(whole.sha256.clone()) },
        _ => Operation::Cancel { at },
    }
}

/// Both at once; and what came of it must be explained.
fn fight(
    player: &mut Player<'_>,
    duel: &[Operation; 2],
    writers: &mut [Client; 2],
    registry: &Registry,
    count: &mut Count,
) {
    let requests =
        duel.each_ref().map(|want| request(want, &player.model, player.content).expect("a request"));
    let servers = [player.random.below(2), player.random.below(2)];
    let slowly = player.random.one_in(2);
    let answers = at_once(writers, servers, &requests, slowly);
    for ((want, server), answer) in duel.iter().zip(servers).zip(&answers) {
        player.note(server, want, answer);
    }
    let explanations = explain(&player.model, duel, &answers, player.content);
    let told = || format!("{}\n{answers:#?}", player.history.told());
    assert!(!explanations.is_empty(), "no order explains these answers: {}", told());
    let checked =
        explanations.into_iter().map(|model| files::check(registry, &model, player.content).map(|()| model));
    match checked.reduce(Result::or).expect("there is one") {
        Ok(model) => player.model = model,
        Err(difference) => panic!("{}\n{difference}", told()),
    }
    match answers.iter().any(|answer| answer.status == 409) {
        true => count.one_busy += 1,
        false => count.in_turn += 1,
    }
}

/// Both begin at once; and slowly, each goes on only when the other has sent half of it.
fn at_once(
    writers: &mut [Client; 2],
    servers: [usize; 2],
    requests: &[Request; 2],
    slowly: bool,
) -> [Answer; 2] {
    let [one, other] = writers;
    let (begin, half) = (Barrier::new(2), Barrier::new(2));
    let send = |writer: &mut Client, number: usize| {
        begin.wait();
        writer.send_halves(servers[number], &requests[number], || {
            if slowly {
                half.wait();
            }
        })
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| send(other, 1));
        [send(one, 0), other.join().expect("an answer")]
    })
}

/// What there may be after these answers.
fn explain(model: &Model, wants: &[Operation; 2], answers: &[Answer; 2], content: &Content) -> Vec<Model> {
    let mut explanations = Vec::new();
    for (first, second) in [(0, 1), (1, 0)] {
        let mut after = model.clone();
        if after.predict(&wants[first], content).check(false, &answers[first]).is_err() {
            continue;
        }
        let mut after_both = after.clone();
        if after_both.predict(&wants[second], content).check(false, &answers[second]).is_ok() {
            explanations.push(after_both);
        }
        let id = model.sessions.last_key_value().map(|(_, session)| session.id());
        let busy = Expected::error(409, "BLOB_UPLOAD_INVALID", json!({ "upload": id }));
        if busy.check(false, &answers[second]).is_ok() {
            explanations.push(after);
        }
    }
    explanations
}

/// Ends what is left, so that the next begins anew.
fn clear(player: &mut Player<'_>) {
    let open: Vec<usize> = player.model.open_sessions().map(|(number, _)| number).collect();
    for number in open {
        player.play(&Operation::Cancel { at: Session { number, elsewhere: None } });
    }
    let held: Vec<String> = player.model.held().into_iter().cloned().collect();
    for digest in held {
        player.play(&Operation::DeleteBlob { name: NAME.to_owned(), digest });
    }
}
