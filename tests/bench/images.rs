//! A thousand small images come in, everything synced.
//!
//! Each has three layers of 4 KiB and a configuration. A client asks for each blob (HEAD), begins a session
//! (POST), sends it (PUT), and at last the manifest: 13 requests an image, as containerd sends them. Memory makes
//! every sync free, for both; the row `disk` does the same where a sync costs what it costs.

use std::path::Path;
use std::thread;

use crate::harness::content::Image;
use crate::harness::measure::{Ratio, Sample, in_turn, median_of, ratio, sample};
use crate::harness::servers::{Kind, Server};
use crate::harness::table::{Bar, Line, rate, time};
use crate::harness::{Bench, Folder, file_system};

const RATE: Bar = Bar::at_least(3.0, "× distribution");

const IMAGES: usize = 1000;
const CLIENTS: usize = 8;
const LAYERS: usize = 3;
const LAYER_BYTES: usize = 4 << 10;

pub fn in_memory(bench: &Bench) -> Vec<Line> {
    let (ours, other) = (bench.start(Kind::Ours), bench.start(Kind::Distribution));
    let compared = compare(&ours, &other, bench.pairs.div_ceil(2)); // distribution takes its time
    ours.end_and_verify();
    let work = "1,000 small images by 8 clients";
    vec![compared.rate(work).ratio_held_to(RATE, compared.ratio()), compared.cpu(work)]
}

/// The same on a disk, for information: what the file system makes of a sync decides there.
pub fn on_disk(bench: &Bench) -> Vec<Line> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let disk = Folder::new(place);
    let start = |kind| Server::start(kind, &disk.fresh());
    let (ours, other) = (start(Kind::Ours), start(Kind::Distribution));
    let compared = compare(&ours, &other, bench.pairs.div_ceil(3));
    ours.end_and_verify();
    let work = format!("1,000 small images by 8 clients, on {}", file_system(place));
    vec![compared.rate(&work).ratio(compared.ratio()), compared.cpu(&work)]
}

/// Samples of ours and of distribution.
struct Compared([Vec<Sample>; 2]);

fn compare(ours: &Server, other: &Server, pairs: usize) -> Compared {
    Compared(in_turn(pairs, [&mut || push_all(ours), &mut || push_all(other)]))
}

impl Compared {
    fn rate(&self, work: &str) -> Line {
        let [ours, other] = self.0.each_ref().map(|samples| rate(median_of(samples, Sample::rate)));
        Line::new(format!("{work}: images"), ours).distribution(other)
    }

    fn ratio(&self) -> Ratio {
        ratio(&self.0[0], &self.0[1], Sample::rate)
    }

    fn cpu(&self, work: &str) -> Line {
        let [ours, other] = self.0.each_ref().map(|samples| time(median_of(samples, Sample::cpu_each)));
        let ratio = ratio(&self.0[0], &self.0[1], Sample::cpu_each);
        Line::new(format!("{work}: CPU for each"), ours).distribution(other).ratio(ratio)
    }
}

/// Every client pushes its share to a repository of its own, over one connection.
fn push_all(server: &Server) -> Sample {
    let images: Vec<Image> = (0..IMAGES).map(|_| Image::fresh(LAYERS, LAYER_BYTES)).collect();
    let shares: Vec<&[Image]> = images.chunks(IMAGES / CLIENTS).collect();
    sample(server, || {
        thread::scope(|scope| {
            for (number, share) in shares.iter().enumerate() {
                scope.spawn(move || {
                    let (name, mut client) = (format!("small/{number}"), server.client());
                    for image in *share {
                        client.push_image(&name, &image.digest[7..19], image);
                    }
                });
            }
        });
        IMAGES
    })
}
