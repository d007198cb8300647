//! Stands between a Kafka and a process, passes everything on, and errs where it is told to: requests
//! are refused, denied after they were carried out, lost or late. So every error of the protocol can be
//! met on a Kafka that is real.

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ApiKey,
    EndTxnResponse, InitProducerIdResponse, OffsetCommitRequest, OffsetCommitResponse,
    ProduceRequest, ProduceResponse, RequestHeader, ResponseHeader, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered with this error; the broker never sees it.
    Refused(ResponseError),
    /// The broker carries it out, and the answer is this error all the same.
    Denied(ResponseError),
    /// The connection ends, and the broker never sees it.
    Lost,
    /// The broker carries it out, and the connection ends before the answer.
    Unanswered,
    /// Passed on after so long.
    Late(Duration),
}

/// Running; it stops, with all connections, when dropped.
pub struct GoBetween {
    address: SocketAddr,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

struct Shared {
    broker: SocketAddr,
    /// In whose place this one is: what clients are told instead of the broker's address.
    own_port: u16,
    faults: Mutex<HashMap<i16, VecDeque<Fault>>>,
}

/// What becomes of an answer, by the number of its request.
enum Reply {
    /// May name the broker.
    Readdressed,
    Replaced(Bytes),
    Withheld,
}

type Replies = Mutex<HashMap<i32, Reply>>;

impl GoBetween {
    /// Stands before the broker at `bootstrap_servers`, which is one of 127.0.0.1.
    pub async fn start(bootstrap_servers: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            broker: bootstrap_servers.parse()?,
            own_port: address.port(),
            faults: Mutex::default(),
        });
        let mut server = JoinSet::new();
        let for_all = Arc::clone(&shared);
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let shared = Arc::clone(&for_all);
                connections.spawn(async move {
                    shared.connect(client).await.ok(); // either end may go at any time
                });
            }
        });
        Ok(Self {
            address,
            shared,
            _server: server,
        })
    }

    /// What a client takes for the broker's address.
    pub fn bootstrap_servers(&self) -> String {
        self.address.to_string()
    }

    /// Has the next requests of this kind meet these faults, each one.
    pub fn arm(&self, request: ApiKey, faults: impl IntoIterator<Item = Fault>) {
        let mut armed = self.shared.faults();
        armed.entry(request as i16).or_default().extend(faults);
    }

    /// How many faults no request has met yet.
    pub fn unmet(&self) -> usize {
        self.shared.faults().values().map(VecDeque::len).sum()
    }
}

impl Shared {
    fn faults(&self) -> MutexGuard<'_, HashMap<i16, VecDeque<Fault>>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, client: TcpStream) -> anyhow::Result<()> {
        let broker = TcpStream::connect(self.broker).await?;
        client.set_nodelay(true)?;
        broker.set_nodelay(true)?;
        let (requests, answers) = client.into_split();
        let (from_broker, to_broker) = broker.into_split();
        let answers = tokio::sync::Mutex::new(answers);
        let replies = Replies::default();
        tokio::select! {
            ended = self.pass_requests(requests, to_broker, &answers, &replies) => ended,
            ended = self.pass_answers(from_broker, &answers, &replies) => ended,
        }
    }

    async fn pass_requests(
        &self,
        mut client: OwnedReadHalf,
        mut broker: OwnedWriteHalf,
        answers: &tokio::sync::Mutex<OwnedWriteHalf>,
        replies: &Replies,
    ) -> anyhow::Result<()> {
        loop {
            let frame = read_frame(&mut client).await?;
            let (kind, number) = (frame.slice(..2).get_i16(), frame.slice(4..8).get_i32());
            let fault = self.faults().get_mut(&kind).and_then(VecDeque::pop_front);
            let mut reply = matches!(
                ApiKey::try_from(kind),
                Ok(ApiKey::Metadata | ApiKey::FindCoordinator)
            )
            .then_some(Reply::Readdressed);
            match fault {
                None => {}
                Some(Fault::Late(wait)) => {
                    let never = std::future::pending::<()>();
                    tokio::time::timeout(wait, never).await.ok(); // ends by the time alone
                }
                Some(Fault::Lost) => return Ok(()),
                Some(Fault::Unanswered) => reply = Some(Reply::Withheld),
                Some(Fault::Denied(error)) => {
                    reply = Some(Reply::Replaced(refusal(frame.clone(), error)?));
                }
                Some(Fault::Refused(error)) => {
                    let refusal = refusal(frame, error)?;
                    write_frame(&mut *answers.lock().await, &refusal).await?;
                    continue;
                }
            }
            if let Some(reply) = reply {
                lock(replies).insert(number, reply);
            }
            write_frame(&mut broker, &frame).await?;
        }
    }

    async fn pass_answers(
        &self,
        mut broker: OwnedReadHalf,
        answers: &tokio::sync::Mutex<OwnedWriteHalf>,
        replies: &Replies,
    ) -> anyhow::Result<()> {
        loop {
            let frame = read_frame(&mut broker).await?;
            let reply = lock(replies).remove(&frame.slice(..4).get_i32());
            let frame = match reply {
                None => frame,
                Some(Reply::Readdressed) => self.readdressed(&frame),
                Some(Reply::Replaced(refusal)) => refusal,
                Some(Reply::Withheld) => return Ok(()),
            };
            write_frame(&mut *answers.lock().await, &frame).await?;
        }
    }

    /// Host and port stand side by side in every version of every answer.
    fn readdressed(&self, frame: &Bytes) -> Bytes {
        let host = self.broker.ip().to_string().into_bytes();
        let with_port = |port: u16| [&host[..], &i32::from(port).to_be_bytes()].concat();
        let (theirs, own) = (with_port(self.broker.port()), with_port(self.own_port));
        let mut told = BytesMut::from(&frame[..]);
        for at in 0..=told.len().saturating_sub(theirs.len()) {
            if told[at..].starts_with(&theirs) {
                told[at..at + own.len()].copy_from_slice(&own);
            }
        }
        told.freeze()
    }
}

fn lock(replies: &Replies) -> MutexGuard<'_, HashMap<i32, Reply>> {
    replies.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read_frame(from: &mut OwnedReadHalf) -> anyhow::Result<Bytes> {
    let mut frame = vec![0; usize::try_from(from.read_i32().await?)?];
    from.read_exact(&mut frame).await?;
    anyhow::ensure!(frame.len() >= 8, "too short for a header");
    Ok(frame.into())
}

async fn write_frame(to: &mut OwnedWriteHalf, frame: &Bytes) -> anyhow::Result<()> {
    let length = i32::try_from(frame.len())?.to_be_bytes();
    to.write_all(&[&length[..], frame].concat()).await?;
    Ok(())
}

/// What a broker says that refuses a request with this error.
fn refusal(mut request: Bytes, error: ResponseError) -> anyhow::Result<Bytes> {
    let kind = request.slice(..2).get_i16();
    let version = request.slice(2..4).get_i16();
    let key = ApiKey::try_from(kind)
        .ok()
        .with_context(|| format!("request {kind}"))?;
    let header = RequestHeader::decode(&mut request, key.request_header_version(version))?;
    let mut said = BytesMut::new();
    ResponseHeader::default()
        .with_correlation_id(header.correlation_id)
        .encode(&mut said, key.response_header_version(version))?;
    let code = error.code();
    match key {
        ApiKey::InitProducerId => InitProducerIdResponse::default()
            .with_error_code(code)
            .encode(&mut said, version)?,
        ApiKey::AddOffsetsToTxn => AddOffsetsToTxnResponse::default()
            .with_error_code(code)
            .encode(&mut said, version)?,
        ApiKey::EndTxn => EndTxnResponse::default()
            .with_error_code(code)
            .encode(&mut said, version)?,
        ApiKey::AddPartitionsToTxn => {
            let asked = AddPartitionsToTxnRequest::decode(&mut request, version)?;
            let topics = asked.v3_and_below_topics.into_iter().map(|topic| {
                let partitions = topic.partitions.into_iter().map(|partition| {
                    AddPartitionsToTxnPartitionResult::default()
                        .with_partition_index(partition)
                        .with_partition_error_code(code)
                });
                AddPartitionsToTxnTopicResult::default()
                    .with_name(topic.name)
                    .with_results_by_partition(partitions.collect())
            });
            AddPartitionsToTxnResponse::default()
                .with_results_by_topic_v3_and_below(topics.collect())
                .encode(&mut said, version)?;
        }
        ApiKey::TxnOffsetCommit => {
            let asked = TxnOffsetCommitRequest::decode(&mut request, version)?;
            let topics = asked.topics.into_iter().map(|topic| {
                let partitions = topic.partitions.into_iter().map(|partition| {
                    TxnOffsetCommitResponsePartition::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(code)
                });
                TxnOffsetCommitResponseTopic::default()
                    .with_name(topic.name)
                    .with_partitions(partitions.collect())
            });
            TxnOffsetCommitResponse::default()
                .with_topics(topics.collect())
                .encode(&mut said, version)?;
        }
        ApiKey::OffsetCommit => {
            let asked = OffsetCommitRequest::decode(&mut request, version)?;
            let topics = asked.topics.into_iter().map(|topic| {
                let partitions = topic.partitions.into_iter().map(|partition| {
                    OffsetCommitResponsePartition::default()
                        .with_partition_index(partition.partition_index)
                        .with_error_code(code)
                });
                OffsetCommitResponseTopic::default()
                    .with_name(topic.name)
                    .with_partitions(partitions.collect())
            });
            OffsetCommitResponse::default()
                .with_topics(topics.collect())
                .encode(&mut said, version)?;
        }
        ApiKey::Produce => {
            let asked = ProduceRequest::decode(&mut request, version)?;
            let topics = asked.topic_data.into_iter().map(|topic| {
                let partitions = topic.partition_data.into_iter().map(|partition| {
                    PartitionProduceResponse::default()
                        .with_index(partition.index)
                        .with_error_code(code)
                        .with_base_offset(-1)
                });
                TopicProduceResponse::default()
                    .with_name(topic.name)
                    .with_partition_responses(partitions.collect())
            });
            ProduceResponse::default()
                .with_responses(topics.collect())
                .encode(&mut said, version)?;
        }
        other => anyhow::bail!("nobody needs a refusal of {other:?} yet"),
    }
    Ok(said.freeze())
}
