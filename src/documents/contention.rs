//! Back-off of writers that compete for one object.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::jitter;

/// How many races a writer may lose before it gives up; each was won by another writer.
const MAX_LOST: u32 = 100;
/// The first pause is at most this, each later one at most twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Back-off of one writer among several of one object: after each lost race it waits for a random and growing time.
///
/// Documents are changed by [`super::Documents::update`], which uses it. Its other users change no document: a claim on
/// a name is created under the next free number, a segment of usage that another node has sealed is followed by a new
/// one, and the archive of usage is read again when it was replaced meanwhile.
#[derive(Debug)]
pub struct Contention {
    over: &'static str,
    lost: u32,
}

impl Contention {
    /// Competes for `over`, such as "the record of the tenant".
    pub fn over(over: &'static str) -> Self {
        Self { over, lost: 0 }
    }

    /// Another writer was faster: waits before the next try.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when this writer has lost too often.
    pub async fn lost(&mut self) -> Result<()> {
        self.lost += 1;
        if self.lost >= MAX_LOST {
            let message = format!("too many writers are changing {} at once", self.over);
            return Err(Error::new(ErrorKind::Unavailable, message));
        }
        let longest = FIRST_PAUSE.saturating_mul(1 << (self.lost - 1).min(16)).min(LONGEST_PAUSE);
        tokio::time::sleep(jitter::up_to(longest)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_writer_gives_up_after_it_has_lost_so_often() {
        let mut contention = Contention { lost: MAX_LOST - 2, ..Contention::over("the record of the tenant") };
        contention.lost().await.unwrap();
        let error = contention.lost().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(error.message(), "too many writers are changing the record of the tenant at once");
    }
}
