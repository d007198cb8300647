//! What a member reports to its role's loop.

use super::group::PartitionReader;
use super::start::Start;

/// What happened.
pub enum Event {
    /// A new epoch: these partitions are ours, from their starts on.
    Assigned(Vec<(PartitionReader, Start)>),
    /// All partitions must go back: stop intake, [`super::Member::commit`] what is finished and
    /// [`super::Member::settle`], drop the readers, then [`super::Member::release`].
    Revoked,
    /// All partitions may be somebody else's: drop all work and the readers, then
    /// [`super::Member::release`].
    Lost,
    /// The transaction under way is committed.
    Committed,
}
