//! Where a run happens.

use std::path::Path;

/// The program, the names and the directory that a run uses.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The daemon.
    pub ha: &'a Path,
    /// The names of all namespaces begin with it.
    pub prefix: &'a str,
    /// A directory for the logs of the nodes.
    pub logs: &'a Path,
    /// More options for every daemon.
    pub options: &'a [String],
}
