//! Steps of the router: from a record to tasks.

use bytes::Bytes;
use gungraun::library_benchmark;
use hooktide::endpoint_table::EndpointTable;
use hooktide::kafka::record::Incoming;
use hooktide::record::subscription::Rules;
use hooktide::record::{Coordinates, DeliveryId, Event, EventError, SubscriptionKey};
use hooktide::router::filter::{EventValue, Failure};
use hooktide::router::known::Known;
use hooktide::router::payload::{self, Facts, Recipient, RenderError};
use hooktide::router::routing::{Destinations, Routed, route};
use hooktide::subscription_table::{Compiled, SubscriptionTable};

use crate::scene::{EVENT, NOW, at, delivery_id, event, facts, kept, key, subscription};

/// An event, and who wants what.
pub struct Arrival {
    record: Incoming,
    subscriptions: SubscriptionTable,
    endpoints: EndpointTable,
    to: Destinations,
}

impl Arrival {
    fn routed(&self) -> Routed {
        let known = Known::new(&self.subscriptions, &self.endpoints, None);
        route(&self.record, None, None, known, &self.to, NOW)
    }

    fn candidates(&self) -> usize {
        let candidates = self.subscriptions.matching("acme", "order.created");
        candidates.count()
    }
}

/// So many subscriptions of the event's tenant, of which so many want the event: every second by its
/// type, the others by a pattern.
fn arrival(subscriptions: usize, wanted_by: usize) -> &'static Arrival {
    let mut table = SubscriptionTable::new(Rules::default());
    for number in 0..subscriptions {
        let events = match number.checked_sub(wanted_by) {
            None if number % 2 == 0 => "order.created".to_owned(),
            None => "order.*".to_owned(),
            Some(rest) => format!("type-{}.created", rest / 3),
        };
        let key = format!("acme/shop-{number}");
        let value =
            format!(r#"{{"url":"https://example.com/","events":["{events}"],"signatures":[]}}"#);
        let revision = i64::try_from(number).unwrap_or(i64::MAX);
        table.apply(Some(key.as_bytes()), Some(value.as_bytes()), revision);
    }
    let arrival = kept(Arrival {
        record: event(),
        subscriptions: table,
        endpoints: EndpointTable::default(),
        to: Destinations {
            deliveries: "deliveries".into(),
            dlq: "dlq".into(),
            rejects: "rejects".into(),
            notices: "notices".into(),
            longest_body: 1 << 20,
            longest_reject: 1 << 18,
        },
    });
    assert_eq!(arrival.subscriptions.counts().active, subscriptions);
    assert_eq!(arrival.candidates(), wanted_by);
    assert_eq!(arrival.routed().tasks, wanted_by);
    arrival
}

#[library_benchmark]
#[bench::three_of_1000(arrival(1_000, 3))]
#[bench::three_of_20000(arrival(20_000, 3))]
pub fn matching(arrival: &'static Arrival) -> usize {
    arrival.candidates()
}

#[library_benchmark]
#[bench::fan_out_1(arrival(1_000, 1))]
#[bench::fan_out_10(arrival(1_000, 10))]
pub fn routing(arrival: &'static Arrival) -> Routed {
    arrival.routed()
}

#[library_benchmark]
#[bench::of_512_bytes(EVENT, kept(at()))]
pub fn reading_event(event: &'static str, at: &'static Coordinates) -> Result<Event, EventError> {
    Event::parse(event.as_bytes(), at, NOW)
}

/// A subscription that wants the event of these facts.
pub struct Wish {
    facts: Facts<'static>,
    key: SubscriptionKey,
    compiled: Compiled,
    delivery_id: DeliveryId,
}

impl Wish {
    fn is_met_by_filters(&self) -> bool {
        self.compiled.filters.matches(self.facts.document)
    }

    fn is_met_by_condition(&self) -> Option<Result<bool, Failure>> {
        let condition = self.compiled.condition.as_ref();
        condition.map(|condition| condition.holds(&EventValue::of(&self.facts)))
    }

    fn body(&self) -> Result<Bytes, RenderError> {
        let recipient = Recipient {
            key: &self.key,
            subscription: &self.compiled.subscription,
            delivery_id: &self.delivery_id,
        };
        payload::render(&self.facts, self.compiled.shape.as_deref(), recipient)
    }
}

/// Of a subscription with these members. What is made once for a process is made already, and what is
/// made once for an event is not.
fn wish(members: &str) -> &'static Wish {
    let made = || Wish {
        facts: facts(),
        key: key(),
        compiled: subscription(members),
        delivery_id: delivery_id(),
    };
    let before = made();
    assert!(before.is_met_by_filters());
    let is_met = before.is_met_by_condition();
    assert!(matches!(is_met, None | Some(Ok(true))), "{is_met:?}");
    assert!(before.body().is_ok_and(|body| body.len() > 64));
    kept(made())
}

const FILTERS: &str = r#""signatures":[],"filters":[
    {"field":"data.total","operator":"greater_than","value":100},
    {"any":[
        {"field":"data.currency","operator":"in","value":["USD","GBP"]},
        {"field":"data.items[*].sku","operator":"starts_with","value":"B-"},
        {"not":{"all":[{"field":"metadata.region","operator":"exists","value":true}]}}
    ]},
    {"not":{"field":"data.note","operator":"contains","value":"urgent"}}
]"#;

#[library_benchmark]
#[bench::tree_of_5(wish(FILTERS))]
pub fn filtering(wish: &'static Wish) -> bool {
    wish.is_met_by_filters()
}

const WHERE: &str = r#""signatures":[],
    "where":"data.total > 100.0 && data.items.exists(i, i.sku.startsWith('B-'))""#;

#[library_benchmark]
#[bench::expression(wish(WHERE))]
pub fn filtering_where(wish: &'static Wish) -> Option<Result<bool, Failure>> {
    wish.is_met_by_condition()
}

const STANDARD: &str = r#""signatures":[]"#;
const FIELDS: &str = r#""signatures":[],"fields":["data.orderId","data.items[*].sku"]"#;
const MAPPING: &str = r#""signatures":[],"mapping":{"external_id":"data.orderId",
    "customer.email":"data.customerEmail","lines[*].article":"data.items[*].sku"}"#;
const TEMPLATE: &str = r#""signatures":[],"body":{"template":
    "{\"text\":\"Order {{ data.orderId }} of {{ data.customerEmail }}\",\"total\":{{ source('data.total') }},\"items\":[{% for item in data.items %}{{ item.sku | tojson }}{% if not loop.last %},{% endif %}{% endfor %}],\"id\":\"{{ delivery_id }}\"}"}"#;

#[library_benchmark]
#[bench::standard(wish(STANDARD))]
#[bench::fields(wish(FIELDS))]
#[bench::mapping(wish(MAPPING))]
#[bench::template(wish(TEMPLATE))]
pub fn rendering(wish: &'static Wish) -> Result<Bytes, RenderError> {
    wish.body()
}
