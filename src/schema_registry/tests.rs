//! Against a registry that says what the test wants.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use axum::Router;
use axum::extract::{Request, State as AxumState};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prometheus::{Encoder, TextEncoder};
use serde_json::json;
use tokio::net::TcpListener;
use url::Url;

use super::*;
use crate::record::Schema;

const AVRO: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;

/// A registry that gives the answers of a script for each path; the last one stays.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Played>>);

#[derive(Default)]
struct Played {
    answers: HashMap<String, VecDeque<(u16, String)>>,
    /// Path and `authorization`.
    asked: Vec<(String, Option<String>)>,
}

impl Script {
    fn answer(&self, path: &str, status: u16, body: &serde_json::Value) -> &Self {
        let mut played = self.0.lock().unwrap();
        let answers = played.answers.entry(path.to_owned()).or_default();
        answers.push_back((status, body.to_string()));
        drop(played);
        self
    }

    fn asked(&self) -> Vec<(String, Option<String>)> {
        self.0.lock().unwrap().asked.clone()
    }

    async fn serve(&self) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let routes = Router::new().fallback(play).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        url.parse().unwrap()
    }
}

async fn play(AxumState(script): AxumState<Script>, request: Request) -> (StatusCode, String) {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get("authorization");
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    let mut played = script.0.lock().unwrap();
    played.asked.push((path.clone(), authorization));
    let (status, body) = match played.answers.get_mut(&path) {
        Some(answers) if answers.len() > 1 => answers.pop_front().unwrap(),
        Some(answers) => answers.front().unwrap().clone(),
        None => (500, String::new()),
    };
    (StatusCode::from_u16(status).unwrap(), body)
}

fn not_found() -> serde_json::Value {
    json!({"error_code": 40_403, "message": "Schema not found"})
}

fn registry(urls: Vec<Url>, change: impl FnOnce(&mut SchemaRegistrySettings)) -> SchemaRegistry {
    let mut settings = crate::config::Config::load(None, std::iter::empty())
        .unwrap()
        .schema_registry;
    settings.urls = urls;
    settings.longest_wait = Duration::from_millis(100);
    settings.timeout = Duration::from_secs(5);
    change(&mut settings);
    let registry = prometheus::Registry::new();
    let metrics = SchemaRegistryMetrics::register(&registry).unwrap();
    SchemaRegistry::new(&settings, Handle::current(), metrics).unwrap()
}

/// Asks until there is an answer, as the router does.
async fn known(registry: &SchemaRegistry, id: SchemaId) -> WriterSchema {
    let answered = async {
        let mut tick = tokio::time::interval(Duration::from_millis(5));
        loop {
            tick.tick().await;
            if let Lookup::Known(schema) = registry.look_up(id) {
                return schema;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), answered)
        .await
        .unwrap()
}

#[track_caller]
fn is_avro(schema: &WriterSchema, value: &[u8], expected: &str) {
    match schema {
        WriterSchema::Known(schema) => match &**schema {
            Schema::Avro(schema) => assert_eq!(schema.to_json(value).unwrap(), expected),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_schema_is_asked_for_once() {
    let script = Script::default();
    script.answer("/schemas/ids/7", 200, &json!({"schema": AVRO}));
    let path = "/schemas/guids/01010101-0101-0101-0101-010101010101";
    script.answer(path, 200, &json!({"schema": "{}", "schemaType": "JSON"}));
    let registry = registry(vec![script.serve().await], |settings| {
        settings.username = "u".to_owned();
        settings.password = serde_json::from_value(json!("p:w")).unwrap();
    });
    for _ in 0..3 {
        is_avro(&known(&registry, SchemaId::Id(7)).await, &[2], r#"{"a":1}"#);
    }
    let json = known(&registry, SchemaId::Guid([1; 16])).await;
    let is_json = matches!(&json, WriterSchema::Known(schema) if matches!(**schema, Schema::Json));
    assert!(is_json, "{json:?}");
    let basic = Some(format!("Basic {}", STANDARD.encode("u:p:w")));
    let expected = ["/schemas/ids/7", path].map(|path| (path.to_owned(), basic.clone()));
    assert_eq!(script.asked(), expected);
}

#[tokio::test]
async fn references_are_fetched_with_those_that_they_name() {
    let script = Script::default();
    let order = r#"{"type":"record","name":"Order","fields":[{"name":"to","type":"Address"}]}"#;
    let address = r#"{"type":"record","name":"Address","fields":[{"name":"c","type":"Country"}]}"#;
    let country = r#"{"type":"enum","name":"Country","symbols":["AE","SA"]}"#;
    let reference = |name: &str| json!([{"name": name, "subject": name, "version": 1}]);
    script
        .answer(
            "/schemas/ids/1",
            200,
            &json!({"schema": order, "references": reference("Address")}),
        )
        .answer(
            "/subjects/Address/versions/1",
            200,
            &json!({"id": 2, "schema": address, "references": reference("Country")}),
        )
        .answer(
            "/subjects/Country/versions/1",
            200,
            &json!({"id": 3, "schema": country}),
        )
        .answer(
            "/schemas/ids/4",
            200,
            &json!({"schema": order, "references": reference("Gone")}),
        )
        .answer(
            "/subjects/Gone/versions/1",
            404,
            &json!({"error_code": 40_402, "message": ""}),
        )
        .answer("/schemas/ids/5", 200, &json!({"schema": order}));
    let registry = registry(vec![script.serve().await], |_| {});
    let schema = known(&registry, SchemaId::Id(1)).await;
    is_avro(&schema, &[2], r#"{"to":{"c":"SA"}}"#);
    for id in [4, 5] {
        let schema = known(&registry, SchemaId::Id(id)).await;
        let WriterSchema::Known(schema) = schema else {
            panic!("{schema:?}");
        };
        assert!(matches!(&*schema, Schema::Unusable(_)), "{schema:?}");
    }
}

#[tokio::test]
async fn an_id_is_unknown_when_that_was_said_twice() {
    let script = Script::default();
    script
        .answer("/schemas/ids/1", 404, &not_found())
        .answer("/schemas/ids/2", 404, &not_found())
        .answer("/schemas/ids/2", 200, &json!({"schema": AVRO}));
    let registry = registry(vec![script.serve().await], |_| {});
    let unknown = known(&registry, SchemaId::Id(1)).await;
    assert!(matches!(unknown, WriterSchema::Unknown), "{unknown:?}");
    // A registry that was behind the one where the producer has registered it.
    is_avro(&known(&registry, SchemaId::Id(2)).await, &[2], r#"{"a":1}"#);
    assert_eq!(script.asked().len(), 4);
}

#[tokio::test]
async fn nothing_else_is_believed() {
    let script = Script::default();
    script
        .answer("/schemas/ids/1", 404, &json!({"message": "no such page"}))
        .answer(
            "/schemas/ids/1",
            401,
            &json!({"error_code": 40_101, "message": "who?"}),
        )
        .answer("/schemas/ids/1", 500, &json!("?"))
        .answer(
            "/schemas/ids/1",
            503,
            &json!({"error_code": 50_302, "message": "starting"}),
        )
        .answer("/schemas/ids/1", 200, &json!({"schema": AVRO}));
    let registry = registry(vec![script.serve().await], |_| {});
    assert!(matches!(registry.look_up(SchemaId::Id(1)), Lookup::Pending));
    is_avro(&known(&registry, SchemaId::Id(1)).await, &[2], r#"{"a":1}"#);
    assert_eq!(script.asked().len(), 5);
    assert!(!registry.is_away());
}

#[tokio::test]
async fn another_url_is_asked_when_one_fails() {
    let (first, second) = (Script::default(), Script::default());
    first.answer("/schemas/ids/2", 404, &not_found());
    second
        .answer("/schemas/ids/1", 200, &json!({"schema": AVRO}))
        .answer("/schemas/ids/2", 200, &json!({"schema": AVRO}));
    let nobody: Url = "http://127.0.0.1:1/".parse().unwrap();
    let urls = vec![nobody, first.serve().await, second.serve().await];
    let registry = registry(urls, |_| {});
    for id in [1, 2] {
        is_avro(
            &known(&registry, SchemaId::Id(id)).await,
            &[2],
            r#"{"a":1}"#,
        );
    }
}

#[tokio::test]
async fn one_request_at_a_time_while_it_is_away() {
    let nobody: Url = "http://127.0.0.1:1/".parse().unwrap();
    let mut settings = crate::config::Config::load(None, std::iter::empty())
        .unwrap()
        .schema_registry;
    settings.urls = vec![nobody];
    settings.longest_wait = Duration::from_mins(1);
    let counted = prometheus::Registry::new();
    let metrics = SchemaRegistryMetrics::register(&counted).unwrap();
    let registry = SchemaRegistry::new(&settings, Handle::current(), metrics).unwrap();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        tick.tick().await;
        for id in 0..20 {
            assert!(matches!(
                registry.look_up(SchemaId::Id(id)),
                Lookup::Pending
            ));
        }
    }
    assert!(registry.is_away());
    let mut text = Vec::new();
    TextEncoder::new()
        .encode(&counted.gather(), &mut text)
        .unwrap();
    let text = String::from_utf8(text).unwrap();
    let failed = text.lines().find_map(|line| {
        line.strip_prefix(r#"hooktide_schema_registry_requests_total{result="failed"} "#)
    });
    // Eight at the start, then after 50 to 100 ms, 100 to 200, 200 to 400, 400 to 800.
    let failed: u32 = failed.unwrap().parse().unwrap();
    assert!((3..=14).contains(&failed), "{failed}");
}

#[tokio::test]
async fn without_a_registry_that_is_said() {
    let registry = registry(Vec::new(), |_| {});
    let answer = registry.look_up(SchemaId::Id(1));
    assert!(matches!(answer, Lookup::Known(WriterSchema::NoRegistry)));
}

#[test]
fn waits_grow_up_to_the_longest() {
    fn check(failures: u32, jitter: f64, expected_ms: u64) {
        let wait = wait(failures, Duration::from_secs(10), jitter);
        assert_eq!(wait, Duration::from_millis(expected_ms), "{failures}");
    }
    check(1, 0.0, 100);
    check(1, 1.0, 50);
    check(2, 0.0, 200);
    check(7, 0.0, 6_400);
    check(8, 0.0, 10_000);
    check(u32::MAX, 0.0, 10_000);
    check(u32::MAX, 1.0, 5_000);
}
