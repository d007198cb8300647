//! The text beside a committed offset on Kafka: who committed, and which offsets above it are
//! finished. `hooktide:1:` and, in base64url without padding,
//!
//! ```text
//! writer, sequence        varints (LEB128)
//! flags                   bit 0: started_at follows; bit 1: partitions_at_start follows
//! [started_at]            varint, zigzag          [partitions_at_start]  varint
//! base, run count         varints
//! gap, length             varints, for every run: unfinished offsets before it, finished ones
//! [tag, length, bytes]    two varints and so many bytes, for every addition
//! checksum                CRC-32 (IEEE) of all bytes before it, big-endian
//! ```
//!
//! **It can grow.** All up to the runs is read by every version, and never changes under the number 1.
//! What a version has more to say is an addition: those who do not know its tag read over it, so an older
//! version can take a group over from a newer one and knows all that is finished. An addition must
//! therefore be one whose absence does no harm. Tag 1 is [`CommitMetadata::log`].
//!
//! **It always fits.** Kafka allows 4,096 bytes (`offset.metadata.max.bytes`): less the prefix of
//! 11, base64 holds 3,063 bytes. All but the runs take at most 51 (three varints of 10, flags 1,
//! partitions 5, base 9, run count 2, checksum 4), which leaves 3,012 for the runs. A tracker has at
//! most [`MAX_HOLES`](super::MAX_HOLES) = 700 holes, hence 700 runs. Gaps: 700 varints of which at
//! most five reach 128, 705 bytes. Lengths: 3 bytes each up to 2²¹ − 1, 2,100 bytes, and beyond at
//! most one more for every 2²¹ offsets of the span; at [`MAX_SPAN`](super::MAX_SPAN) = 2²⁸ that is
//! 128. A jump of the consumer can exceed the span by one run, a jump at the end by one more, of at
//! most 9 bytes each: 12. Together 2,945. Run lengths alone suffice, no bitmap is needed. Of the 67 bytes
//! that are left additions may take 60.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::finished_set::{FinishedSet, FinishedSetError};
use crate::clock::Timestamp;

/// The most that a text may take: Kafka's default of `offset.metadata.max.bytes`.
pub const MAX_TEXT_BYTES: usize = 4_096;

const APPLICATION: &str = "hooktide:";
const PREFIX: &str = "hooktide:1:";
const MAX_BODY_BYTES: usize = (MAX_TEXT_BYTES - PREFIX.len()) / 4 * 3;
const CHECKSUM_BYTES: usize = 4;
/// The most that additions may take.
const ADDITION_BYTES: usize = 60;
const LOG: u64 = 1;

const HAS_STARTED_AT: u64 = 1;
const HAS_PARTITIONS_AT_START: u64 = 2;

/// What a commit says about itself and about the offsets above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitMetadata {
    /// A random number of the process, to tell its own commits from another's.
    pub writer: u64,
    /// Counts the commits of the writer. After a commit whose fate is unknown, the one that is read
    /// back tells whether it got through (ARCHITECTURE.md, The commit protocol 5).
    pub sequence: u64,
    /// When the group first ran: where partitions without an offset begin under
    /// `events.start = latest` (ARCHITECTURE.md, The commit protocol 8).
    pub started_at: Option<Timestamp>,
    /// How many partitions the topic had then; those found later begin at the earliest record.
    pub partitions_at_start: Option<u32>,
    /// What is finished; its base is the committed offset.
    pub finished: FinishedSet,
    /// Which cluster's log the offsets are of (a hash of its id): a tool that carries groups over to a
    /// copy carries this text along, and offsets of the one say nothing of the other.
    pub log: Option<u64>,
    /// What a newer version has added, by tag. Read over, and not written again.
    pub newer: Vec<(u64, Vec<u8>)>,
}

/// Why a text is no metadata of ours for the offset that it came with. The caller warns and goes on
/// from the offset alone: nothing is skipped, some work may be done again.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MetadataError {
    /// No text, as when the offset was set by a tool. Nothing to warn about.
    #[error("no metadata")]
    Absent,
    /// Written by another application.
    #[error("not metadata of hooktide")]
    Foreign,
    /// Written by a version that this one cannot read.
    #[error("metadata version {0} is unknown, only 1 is known")]
    UnknownVersion(u32),
    /// Longer than Kafka allows by default, so never written by us.
    #[error("{0} bytes are more than {MAX_TEXT_BYTES}")]
    TooLong(usize),
    /// Not base64url without padding.
    #[error("not base64url: {0}")]
    Base64(#[from] base64::DecodeError),
    /// The checksum does not match the content.
    #[error("checksum does not match")]
    Checksum,
    /// The content ends within or before a field.
    #[error("ends before the end of {0}")]
    Truncated(&'static str),
    /// A number does not fit into its field.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// A flag that version 1 does not have.
    #[error("flags {0:#x} are unknown")]
    UnknownFlags(u64),
    /// An addition of a known tag that stands twice or has another length.
    #[error("addition {0} is none")]
    Addition(u64),
    /// Written for another offset than the one it came with.
    #[error("made for offset {base}, but {committed} is committed")]
    OtherOffset {
        /// The offset that it was written for.
        base: i64,
        /// The offset that Kafka gave with it.
        committed: i64,
    },
    /// Carried over from another cluster: its offsets are of another log.
    #[error("made for a log of another cluster")]
    OtherCluster,
    /// Claims that records are finished which do not exist (a truncated or re-created topic).
    #[error("the finished run that ends at {end} is beyond the log's end {log_end}")]
    BeyondLogEnd {
        /// The end of the last run, exclusive.
        end: i64,
        /// The next offset that the partition will give.
        log_end: i64,
    },
    /// The runs are none that a tracker makes.
    #[error(transparent)]
    FinishedSet(#[from] FinishedSetError),
}

impl CommitMetadata {
    /// The text for Kafka: ASCII, at most [`MAX_TEXT_BYTES`].
    ///
    /// Any set of a tracker fits (see the module). One made of other runs may not: its last ones are
    /// then left out, which costs doing them again and never skips anything.
    pub fn encode(&self) -> String {
        let mut head = Vec::with_capacity(MAX_BODY_BYTES);
        put(&mut head, self.writer);
        put(&mut head, self.sequence);
        let flag = |present: bool, bit| if present { bit } else { 0 };
        let flags = flag(self.started_at.is_some(), HAS_STARTED_AT)
            | flag(self.partitions_at_start.is_some(), HAS_PARTITIONS_AT_START);
        put(&mut head, flags);
        if let Some(at) = self.started_at {
            put(&mut head, zigzag(at.as_millis()));
        }
        if let Some(partitions) = self.partitions_at_start {
            put(&mut head, partitions.into());
        }
        put(&mut head, self.finished.base().cast_unsigned());

        let additions = self.additions();
        let room = MAX_BODY_BYTES - CHECKSUM_BYTES - head.len() - COUNT_BYTES - additions.len();
        let (mut runs, mut count, mut after) = (Vec::new(), 0, self.finished.base());
        for run in self.finished.runs() {
            let before = runs.len();
            put(&mut runs, run.start.abs_diff(after));
            put(&mut runs, run.end.abs_diff(run.start));
            if runs.len() > room {
                runs.truncate(before);
                break;
            }
            count += 1;
            after = run.end;
        }

        let mut body = head;
        put(&mut body, count);
        body.append(&mut runs);
        body.extend(additions);
        body.extend(crc32fast::hash(&body).to_be_bytes());
        let mut text = PREFIX.to_owned();
        URL_SAFE_NO_PAD.encode_string(body, &mut text);
        text
    }

    fn additions(&self) -> Vec<u8> {
        let log = self.log.map(|log| (LOG, log.to_be_bytes().to_vec()));
        let mut all = Vec::new();
        for (tag, value) in log.iter().chain(&self.newer) {
            let before = all.len();
            put(&mut all, *tag);
            put(&mut all, value.len() as u64);
            all.extend(value);
            if all.len() > ADDITION_BYTES {
                all.truncate(before);
            }
        }
        all
    }

    /// Reads the text that came with a committed offset. `log_end` is the partition's end offset,
    /// where it is known.
    ///
    /// # Errors
    /// [`MetadataError`] names the rule; never a guess at what a damaged text meant.
    pub fn decode(
        text: &str,
        committed_offset: i64,
        log_end: Option<i64>,
    ) -> Result<Self, MetadataError> {
        if text.is_empty() {
            return Err(MetadataError::Absent);
        }
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            let version = text.strip_prefix(APPLICATION).and_then(|rest| {
                let (version, _) = rest.split_once(':')?;
                version.parse().ok()
            });
            return Err(version.map_or(MetadataError::Foreign, MetadataError::UnknownVersion));
        };
        if text.len() > MAX_TEXT_BYTES {
            return Err(MetadataError::TooLong(text.len()));
        }
        let bytes = URL_SAFE_NO_PAD.decode(encoded)?;
        let (content, checksum) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or(MetadataError::Truncated("checksum"))?;
        if crc32fast::hash(content) != u32::from_be_bytes(*checksum) {
            return Err(MetadataError::Checksum);
        }

        let metadata = Self::read(Reader(content))?;
        let base = metadata.finished.base();
        if base != committed_offset {
            let committed = committed_offset;
            return Err(MetadataError::OtherOffset { base, committed });
        }
        let end = metadata.finished.end();
        match log_end {
            Some(log_end) if !metadata.finished.is_empty() && end > log_end => {
                Err(MetadataError::BeyondLogEnd { end, log_end })
            }
            Some(_) | None => Ok(metadata),
        }
    }

    /// The same, if it is of this log. Where either is not known, it is taken to be.
    ///
    /// # Errors
    /// [`MetadataError::OtherCluster`].
    pub fn of_log(self, log: Option<u64>) -> Result<Self, MetadataError> {
        match (self.log, log) {
            (Some(one), Some(other)) if one != other => Err(MetadataError::OtherCluster),
            (_, _) => Ok(self),
        }
    }

    fn read(mut reader: Reader<'_>) -> Result<Self, MetadataError> {
        let writer = reader.varint("writer")?;
        let sequence = reader.varint("sequence")?;
        let flags = reader.varint("flags")?;
        if flags & !(HAS_STARTED_AT | HAS_PARTITIONS_AT_START) != 0 {
            return Err(MetadataError::UnknownFlags(flags));
        }
        let started_at = if flags & HAS_STARTED_AT == 0 {
            None
        } else {
            let millis = unzigzag(reader.varint("started_at")?);
            Some(Timestamp::from_millis(millis))
        };
        let partitions_at_start = if flags & HAS_PARTITIONS_AT_START == 0 {
            None
        } else {
            Some(reader.number("partitions_at_start")?)
        };
        let base: i64 = reader.number("base")?;
        let count: u64 = reader.number("run count")?;

        // No allocation ahead by a count that may lie: each run costs the text two bytes.
        let (mut runs, mut end) = (Vec::new(), base);
        for _ in 0..count {
            let mut advance = |field| {
                let distance = reader.number(field)?;
                end = end
                    .checked_add(distance)
                    .ok_or(MetadataError::OutOfRange(field))?;
                Ok::<i64, MetadataError>(end)
            };
            runs.push(advance("gap")?..advance("length")?);
        }
        let (mut log, mut newer) = (None, Vec::new());
        while !reader.0.is_empty() {
            let tag = reader.varint("addition")?;
            let length = reader.number("addition")?;
            let (value, rest) = reader
                .0
                .split_at_checked(length)
                .ok_or(MetadataError::Truncated("addition"))?;
            reader.0 = rest;
            match (tag, <[u8; 8]>::try_from(value)) {
                (LOG, Ok(bytes)) if log.is_none() => log = Some(u64::from_be_bytes(bytes)),
                (LOG, _) => return Err(MetadataError::Addition(tag)),
                (_, _) => newer.push((tag, value.to_vec())),
            }
        }
        Ok(Self {
            writer,
            sequence,
            started_at,
            partitions_at_start,
            finished: FinishedSet::from_runs(base, runs)?,
            log,
            newer,
        })
    }
}

/// What the run count takes at most: 700 is two varint bytes.
const COUNT_BYTES: usize = 2;

/// The content that is not read yet.
struct Reader<'text>(&'text [u8]);

impl Reader<'_> {
    fn varint(&mut self, field: &'static str) -> Result<u64, MetadataError> {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (byte, rest) = self
                .0
                .split_first()
                .ok_or(MetadataError::Truncated(field))?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit only.
            if shift > 63 || (shift == 63 && bits > 1) {
                return Err(MetadataError::OutOfRange(field));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        Ok(value)
    }

    fn number<T: TryFrom<u64>>(&mut self, field: &'static str) -> Result<T, MetadataError> {
        T::try_from(self.varint(field)?).map_err(|_| MetadataError::OutOfRange(field))
    }
}

fn put(bytes: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Small numbers of either sign to small unsigned ones.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests;
