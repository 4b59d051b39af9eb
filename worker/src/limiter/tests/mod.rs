//! The limiter against a simulated server, in virtual time.

mod night;
mod server;

use std::time::Duration;

use night::Plan;
use server::{Bound, Latency, Server};

const USUAL: Latency = Latency { median: 0.150, sigma: 0.4 };

#[tokio::test(start_paused = true)]
async fn explore() {
    for ra in [false, true] {
        for (name, bound, cap) in [
            ("rate", Bound::Rate { rps: 200.0, burst: 20.0 }, 200.0),
            ("rate b200", Bound::Rate { rps: 200.0, burst: 200.0 }, 200.0),
            ("rate b1", Bound::Rate { rps: 200.0, burst: 1.0 }, 200.0),
            ("number20", Bound::Number(20), 20.0 / 0.1625),
            ("number5", Bound::Number(5), 5.0 / 0.1625),
        ] {
            for seed in [1, 2, 3] {
                let server = Server::new(bound, USUAL, seed);
                let mut plan = Plan::new(150);
                if ra { plan = plan.with_retry_after(); }
                let night = plan.run(&server, |_, _| {}).await;
                println!("RA {ra} {name} seed {seed}: refused {:.2}% used {:.1}%", night.refused(30..150) * 100.0, night.throughput(30..150) / cap * 100.0);
                if seed == 1 && std::env::var("V").is_ok() { println!("{night:?}"); }
            }
        }
    }
    for ra in [false, true] {
        for seed in 1..6 {
            let server = Server::new(Bound::Rate { rps: 200.0, burst: 20.0 }, USUAL, seed);
            let mut plan = Plan::new(180);
            if ra { plan = plan.with_retry_after(); }
            let night = plan.run(&server, |s, server| {
                if s == 60 { server.set_bound(Bound::Rate { rps: 200.0 / 3.0, burst: 20.0 }) }
                if s == 120 { server.set_bound(Bound::Rate { rps: 200.0, burst: 20.0 }) }
            }).await;
            println!("RA {ra} drop: refused {:.2}% 60..70 {:.1} / 70..120 {:.1}, 120..130 {:.1} 130..140 {:.1} 140..180 {:.1}", night.refused(60..120) * 100.0, night.throughput(60..70), night.throughput(70..120), night.throughput(120..130), night.throughput(130..140), night.throughput(140..180));
            if std::env::var("V").is_ok() { println!("{night:?}"); }
        }
    }
    let server = Server::new(Bound::Processors(8), Latency { median: 0.02, sigma: 0.0 }, 1);
    let night = Plan::new(120).run(&server, |_, _| {}).await;
    println!("PS {night:?}");
    for sigma in [0.4, 0.8] {
        let server = Server::new(Bound::Nothing, Latency { median: 0.15, sigma }, 1);
        let night = Plan::new(60).run(&server, |_, _| {}).await;
        println!("free {sigma} {night:?}");
    }
    let _ = Duration::ZERO;
}
