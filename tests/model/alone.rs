//! One client, one server, which is killed now and then: each answer, and now and then all files, against the
//! model.

use crate::choose::Chooser;
use crate::content::Content;
use crate::files;
use crate::it::harness::Registry;
use crate::operation::Operation;
use crate::parts::random::Random;
use crate::player::Player;
use crate::request::Client;
use crate::tally::Tally;
use crate::{Plan, QUIET};

const OPERATIONS: usize = 1500;
const OPERATIONS_PER_CHECK: usize = 100;
/// One is a part of another, one reads like an endpoint.
pub const NAMES: [&str; 5] = ["a", "a-b", "a/b", "library/hello", "tags/list"];

pub fn run(plan: Plan) -> String {
    let (mut tally, mut kills) = (Tally::default(), 0);
    for round in 0..plan.rounds {
        let content = Content::new(Random::new(plan.seed, &[1, round, 0]));
        let (played, killed) = play(plan.seed, round, &content);
        tally.add(&played);
        kills += killed;
    }
    format!("{} rounds, {kills} SIGKILLs, {tally}", plan.rounds)
}

fn play(seed: u64, round: u64, content: &Content) -> (Tally, usize) {
    let mut registry = Registry::start_with(QUIET);
    let random = Random::new(seed, &[1, round, 1]);
    let mut player = Player::new(format!("round {round}"), Client::new(&[registry.address]), content, random);
    let names = NAMES.map(str::to_owned).to_vec();
    let mut chooser =
        Chooser { content, names, foreign: Vec::new(), random: Random::new(seed, &[1, round, 2]) };
    let mut kills = 0;
    for number in 1..=OPERATIONS {
        match chooser.choose(&player.model) {
            Operation::Restart => {
                registry.kill_and_restart();
                player.client = Client::new(&[registry.address]);
                player.history.remember("killed and started again".to_owned());
                kills += 1;
            }
            operation => player.play(&operation),
        }
        if number % OPERATIONS_PER_CHECK == 0
            && let Err(difference) = files::check_and_verify(&registry, &player.model, content)
        {
            panic!("{}\n{difference}", player.history.told());
        }
    }
    (player.tally, kills)
}
