//! The table `[confine]`.

use super::super::read::Many;
use super::super::table::table;
use super::super::value::FilePath;

table! {
    /// Which files are open to the process. Of their own these are: the directories of the configuration's files and of all
    /// files and sockets that they name, with what is below; those of logs and of the certificate store for writing; and
    /// the system's `/etc`, `/usr`, `/lib`, `/proc`, `/sys` and `/dev`. A program of `[acme.dns]` may read and run
    /// everything its user may, and write to `/tmp` besides. The set is made at the start: what a reload names must lie in
    /// it. Kernels without Landlock (before 5.13) close nothing, which the log says.
    ///
    /// ```toml
    /// [confine]
    /// readable = "/run/secrets.d"
    /// writable = "/var/log/edge"
    /// ```
    pub(crate) struct ConfineFile {
        /// Directories and files to read beside those: for what a later reload will name, or where links will lead.
        readable: Many<FilePath> = [],
        /// Directories to write to: for what a later reload or a program of `[acme.dns]` needs.
        writable: Many<FilePath> = [],
    }
}
