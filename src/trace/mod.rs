//! The file format `.reel`: framing, codec, reader and writer. Only this module knows bytes.
//!
//! A reel is a magic, a header block, data blocks and, once sealed, a summary block with a footer. Every block
//! carries its own sync marker, lengths and checksums; a run of data blocks is a chunk, which decodes alone.
//! `docs/trace-format.md` is the normative description. A reel without summary is complete up to its last block:
//! its writer died or is still at work.

mod anonymize;
mod check;
mod codec;
mod delta;
mod error;
mod file;
mod format;
mod header;
mod lifecycle;
mod pack;
mod parser;
mod progress;
mod reader;
mod recover;
mod salvage;
mod squeeze;
mod state;
mod summary;
#[cfg(test)]
mod tests;
mod thread;
mod window;
mod writer;

pub use anonymize::Anonymizer;
pub use check::{Checked, check};
pub use codec::Records;
pub use error::TraceError;
pub use file::{ChunkRecords, ReelFile};
pub use format::{BLOCK_HEADER_LEN, BlockHeader, BlockType, Limits, MAGIC};
pub use header::{ClusterInfo, Detail, Header, RunInfo, digest_of};
pub use parser::{Block, Fault, Parser};
pub use progress::Progress;
pub use reader::{Ending, Reader};
pub use recover::{Recovered, recover};
pub use salvage::{Hole, Salvage, Stretch};
pub use state::State;
pub use summary::{ChunkEntry, Summary};
pub use thread::{ReelThread, Sink};
pub use window::Window;
pub use writer::{CHUNK_BYTES, CHUNK_SPAN, Durability, FLUSH_SPAN, ReelWriter, WriteOptions};
