//! What is measured: each scenario is one run of `hooktide bench`.

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// By which it is chosen and kept.
    pub name: &'static str,
    /// What its row says.
    pub title: &'static str,
    /// What is measured.
    pub subject: Subject,
    /// Arguments of `hooktide bench`, separated by spaces.
    pub arguments: &'static str,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `hooktide run`.
    Hooktide,
    /// `tests/peers/loop.go`, with so many requests at once.
    Go(usize),
    /// `tests/peers/Peer.java` of this kind, with so many requests at once.
    Java(&'static str, usize),
    /// The same in Parallel Consumer's order by key, with so many connections and else its own defaults.
    JavaByKey(&'static str, usize),
}

const fn hooktide(name: &'static str, title: &'static str, arguments: &'static str) -> Scenario {
    Scenario {
        name,
        title,
        subject: Subject::Hooktide,
        arguments,
    }
}

/// What a broker does before anything is measured on it; it has no result.
pub const WARM_UP: Scenario = hooktide("warm-up", "warm-up", "--events 300000");

/// Delivered as fast as can be.
pub const FLAT_OUT: [Scenario; 10] = [
    hooktide(
        "one-to-one",
        "one to one",
        "--events 300000 --warm-up 20000",
    ),
    hooktide(
        "fan-out-10",
        "fan-out 10",
        "--events 30000 --fan-out 10 --warm-up 2000",
    ),
    hooktide(
        "fan-out-100",
        "fan-out 100",
        "--events 3000 --fan-out 100 --warm-up 200",
    ),
    hooktide(
        "endpoints-1000",
        "1,000 endpoints",
        "--events 200000 --receivers 1000 --warm-up 20000",
    ),
    hooktide(
        "failing-10",
        "10 % failing once",
        "--events 200000 --failing 0.1 --warm-up 20000",
    ),
    hooktide(
        "failing-50",
        "50 % failing once",
        "--events 100000 --failing 0.5 --warm-up 20000",
    ),
    hooktide(
        "receiver-20ms",
        "receiver of 20 ms",
        "--events 150000 --delay 20ms --warm-up 5000",
    ),
    hooktide(
        "receiver-200ms",
        "receiver of 200 ms",
        "--events 20000 --delay 200ms --warm-up 1000",
    ),
    hooktide(
        "size-16k",
        "bodies of 16 KiB",
        "--events 60000 --size 16384 --warm-up 5000",
    ),
    hooktide(
        "tls",
        "receiver with TLS",
        "--events 200000 --tls --warm-up 20000",
    ),
];

/// The same by several processes.
pub const PROCESSES: [Scenario; 2] = [
    hooktide(
        "processes-2",
        "2 processes",
        "--events 200000 --processes 2 --warm-up 20000",
    ),
    hooktide(
        "processes-4",
        "4 processes",
        "--events 200000 --processes 4 --warm-up 20000",
    ),
];

/// From produced to received.
pub const LATENCY: [Scenario; 3] = [
    hooktide(
        "latency-200",
        "200",
        "--events 6000 --rate 200 --warm-up 2000",
    ),
    hooktide(
        "latency-1000",
        "1,000",
        "--events 30000 --rate 1000 --warm-up 2000",
    ),
    hooktide(
        "latency-5000",
        "5,000",
        "--events 150000 --rate 5000 --warm-up 20000",
    ),
];

/// Everything at once.
pub const BURSTS: [Scenario; 2] = [
    hooktide(
        "catch-up",
        "catch-up of 1,000,000 events",
        "--events 1000000 --catch-up",
    ),
    hooktide(
        "retries-due",
        "100,000 retries due at once",
        "--events 100000 --due-at-once",
    ),
];

/// How much a subscription costs that does not match.
pub const SUBSCRIPTIONS: [Scenario; 2] = [
    hooktide(
        "match-1000",
        "1,000",
        "--router-alone --events 300000 --fan-out 3 --subscriptions 999",
    ),
    hooktide(
        "match-1000000",
        "1,000,000",
        "--router-alone --events 300000 --fan-out 3 --subscriptions 999999",
    ),
];

/// Both roles with as many as that.
pub const START: [Scenario; 1] = [hooktide(
    "start-1000000",
    "1,000,000, both roles",
    "--events 20000 --subscriptions 1000000",
)];

/// What the router alone does.
pub const ROUTER: [Scenario; 1] = [hooktide(
    "router-alone",
    "router alone",
    "--router-alone --events 1000000",
)];

/// Nothing to do.
pub const IDLE: [Scenario; 1] = [hooktide(
    "idle",
    "idle, all tiers assigned",
    "--events 1000 --idle 20s",
)];

const PEER: &str = "--events 200000 --warm-up 20000";

/// Others with the work of `one-to-one`; several settings of each, of which the best counts.
pub const PEERS: [Scenario; 8] = [
    peer("go-32", "Go loop (franz-go)", Subject::Go(32)),
    peer("go-64", "Go loop (franz-go)", Subject::Go(64)),
    peer("go-256", "Go loop (franz-go)", Subject::Go(256)),
    peer(
        "core-64",
        "Parallel Consumer, core",
        Subject::Java("core", 64),
    ),
    peer(
        "core-256",
        "Parallel Consumer, core",
        Subject::Java("core", 256),
    ),
    peer(
        "vertx-64",
        "Parallel Consumer, Vert.x",
        Subject::Java("vertx", 64),
    ),
    peer(
        "vertx-256",
        "Parallel Consumer, Vert.x",
        Subject::Java("vertx", 256),
    ),
    peer(
        "vertx-1000",
        "Parallel Consumer, Vert.x",
        Subject::Java("vertx", 1_000),
    ),
];

const fn peer(name: &'static str, title: &'static str, subject: Subject) -> Scenario {
    Scenario {
        name,
        title,
        subject,
        arguments: PEER,
    }
}

/// One endpoint of fifty takes five seconds; the events are live.
pub const SLOW: [Scenario; 2] = [
    hooktide(
        "slow-endpoint",
        "Hooktide",
        "--events 60000 --rate 1000 --subscriptions 50 --receivers 50 --slow 5s",
    ),
    Scenario {
        name: "slow-key",
        title: "Parallel Consumer, Vert.x, order by key",
        subject: Subject::JavaByKey("vertx", 64),
        arguments: "--events 60000 --rate 1000 --subscriptions 50 --slow 5s --warm-up 2000",
    },
];

/// All of them, in the order in which they run: the long ones last.
pub fn all() -> Vec<Scenario> {
    [
        FLAT_OUT.as_slice(),
        &PEERS,
        &ROUTER,
        &LATENCY,
        &IDLE,
        &PROCESSES,
        &SLOW,
        &BURSTS,
        &SUBSCRIPTIONS,
        &START,
    ]
    .concat()
}
