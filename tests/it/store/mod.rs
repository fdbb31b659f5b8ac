//! The bucket: what it promises, what it does when it fails, what people put into it by hand.

mod before_compaction;
mod check;
mod contract;
mod documents;
mod faults;
mod file_changes;
#[cfg(target_os = "linux")]
mod folder_gone;
mod full_disk;
mod key_files;
mod modes;
