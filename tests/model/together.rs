//! Several clients at once, over two processes and one root. Each has repositories of its own, and the model of
//! them; what they push is the same, so that they share the bytes under `blobs/`, take them from each other and
//! let them go beside each other. No answer may show that there are others. At pauses: all files, against all
//! the models together.
//!
//! What a client chooses follows from the seed and its own model, so `SEED` replays it; what meets what does not.

use std::thread;

use crate::alone::NAMES;
use crate::choose::Chooser;
use crate::content::Content;
use crate::files;
use crate::it::harness::Registry;
use crate::model::Model;
use crate::parts::random::Random;
use crate::player::Player;
use crate::request::Client;
use crate::tally::Tally;
use crate::{Plan, QUIET};

const CLIENTS: u64 = 6;
const PAUSES: usize = 3;
const OPERATIONS_BEFORE_A_PAUSE: usize = 100;

pub fn run(plan: Plan) -> String {
    let mut tally = Tally::default();
    for round in 0..plan.rounds {
        let content = Content::new(Random::new(plan.seed, &[2, round]));
        tally.add(&play(plan.seed, round, &content));
    }
    format!("{} rounds, {CLIENTS} threads over 2 processes, {tally}", plan.rounds)
}

fn play(seed: u64, round: u64, content: &Content) -> Tally {
    let registry = Registry::start_with(QUIET);
    let other = registry.start_beside();
    let client = |number| {
        let who = format!("round {round}, client {number}");
        let servers = Client::new(&[registry.address, other.address]);
        let mut player = Player::new(who, servers, content, Random::new(seed, &[2, round, number, 1]));
        player.model.prefix = Some(prefix(number));
        let foreign = (0..CLIENTS).filter(|other| *other != number).flat_map(names_of).collect();
        let random = Random::new(seed, &[2, round, number, 2]);
        (player, Chooser { content, names: names_of(number), foreign, random })
    };
    let mut clients: Vec<(Player, Chooser)> = (0..CLIENTS).map(client).collect();
    for _ in 0..PAUSES {
        thread::scope(|scope| {
            for (player, chooser) in &mut clients {
                scope.spawn(|| {
                    for _ in 0..OPERATIONS_BEFORE_A_PAUSE {
                        let operation = chooser.choose(&player.model);
                        player.play(&operation);
                    }
                });
            }
        });
        let union = Model::union(clients.iter().map(|(player, _)| &player.model));
        if let Err(difference) = files::check_and_verify(&registry, &union, content) {
            let told: Vec<String> = clients.iter().map(|(player, _)| player.history.told()).collect();
            panic!("{}\n{difference}", told.join("\n"));
        }
    }
    clients.iter().fold(Tally::default(), |mut all, (player, _)| {
        all.add(&player.tally);
        all
    })
}

fn prefix(number: u64) -> String {
    format!("client{number}/")
}

fn names_of(number: u64) -> Vec<String> {
    NAMES.iter().map(|name| format!("{}{name}", prefix(number))).collect()
}
