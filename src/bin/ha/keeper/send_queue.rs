//! News for the worker, never more than it has room for.
//!
//! The worker acknowledges how many it has followed; of the others there are [`MAX_UNREAD`] at most, for which the kernel has room.
//! News that come when this limit is reached, or that would ask again what the worker is still asked, wait here: of each kind the last, since only that one still
//! holds. The last places are for what a look at the interface shows, and no look begins without them. So no flood of signals or
//! events ends a worker.

use std::mem::take;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io;

use crate::channel::{Channel, MAX_UNREAD, News};

/// What was sent to a worker, and what is to be.
#[derive(Debug, Default)]
pub struct SendQueue {
    sent: u32,
    acknowledged: u32,
    /// How many had been sent with the last question for the status, and with the last keys.
    status_at: u32,
    keys_at: u32,
    is_status_due: bool,
    is_lost_due: bool,
    is_shutdown_due: bool,
    /// What the worker is to hear of the fence.
    fenced: Option<bool>,
    keys: Option<OwnedFd>,
    /// The outcome of the last take.
    outcome: Option<News>,
}

impl SendQueue {
    /// Sends `news` through `channel`, or keeps it for later.
    pub fn send(&mut self, channel: &Channel, news: &News, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        if !self.may_send(news) {
            return self.keep(news, sockets);
        }
        channel.send(news, sockets)?;
        match news {
            News::Status => self.status_at = self.sent.wrapping_add(1),
            News::Keys => self.keys_at = self.sent.wrapping_add(1),
            // An older one does not hold any more.
            News::Fenced(_) => self.fenced = None,
            News::Up { .. } | News::Down { .. } | News::MacChanged(_) | News::Lost | News::Found => {}
            News::Taken(_) | News::Refused(_) | News::Shutdown | News::Neighbours { .. } => {}
        }
        self.sent = self.sent.wrapping_add(1);
        Ok(())
    }

    /// Notes that the worker has followed `count` news in all.
    pub fn acknowledge(&mut self, count: u32) {
        if self.sent.wrapping_sub(count) <= self.sent.wrapping_sub(self.acknowledged) {
            self.acknowledged = count;
        }
    }

    /// What was kept and may be sent now, with its socket.
    pub fn due(&mut self) -> Option<(News, Option<OwnedFd>)> {
        let news = if self.has_room_for_a_look()
            && let Some(is_fenced) = self.fenced.take()
        {
            News::Fenced(is_fenced)
        } else if self.may_send(&News::Lost) && self.outcome.is_some() {
            self.outcome.take()?
        } else if self.may_send(&News::Lost) && take(&mut self.is_lost_due) {
            News::Lost
        } else if self.may_send(&News::Shutdown) && take(&mut self.is_shutdown_due) {
            News::Shutdown
        } else if self.may_send(&News::Keys) && self.keys.is_some() {
            return Some((News::Keys, self.keys.take()));
        } else if self.may_send(&News::Status) && take(&mut self.is_status_due) {
            News::Status
        } else {
            return None;
        };
        Some((news, None))
    }

    /// There is room for what a look at the interface shows.
    pub fn has_room_for_a_look(&self) -> bool {
        self.unread() <= MAX_UNREAD - LOOK
    }

    fn unread(&self) -> usize {
        usize::try_from(self.sent.wrapping_sub(self.acknowledged)).unwrap_or(usize::MAX)
    }

    fn may_send(&self, news: &News) -> bool {
        let has_room = self.unread() < MAX_UNREAD - LOOK;
        let is_followed = |at: u32| self.sent.wrapping_sub(at) >= self.sent.wrapping_sub(self.acknowledged);
        match news {
            // A look has begun, with room for them.
            News::Up { .. } | News::Down { .. } | News::MacChanged(_) => true,
            // Of a look the first.
            News::Fenced(_) => self.has_room_for_a_look(),
            News::Status => has_room && is_followed(self.status_at),
            News::Keys => has_room && is_followed(self.keys_at),
            News::Lost | News::Found | News::Taken(_) | News::Refused(_) | News::Shutdown | News::Neighbours { .. } => {
                has_room
            }
        }
    }

    fn keep(&mut self, news: &News, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
        match news {
            News::Keys => self.keys = sockets.first().map(|socket| io::fcntl_dupfd_cloexec(socket, 3)).transpose()?,
            News::Status => self.is_status_due = true,
            News::Lost => self.is_lost_due = true,
            News::Fenced(is_fenced) => self.fenced = Some(*is_fenced),
            News::Shutdown => self.is_shutdown_due = true,
            News::Taken(_) | News::Refused(_) => self.outcome = Some(news.clone()),
            // The gateway comes again; the other neighbours have heard the announcement.
            News::Neighbours { .. } => {}
            // The worker sees to it within a second that it is not there.
            News::Found => {}
            News::Up { .. } | News::Down { .. } | News::MacChanged(_) => {}
        }
        Ok(())
    }
}

/// A look shows whether there is a fence, that the interface is gone, that another one is there, and its hardware address; Lost can
/// wait.
const LOOK: usize = 4;

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use ha::node::Unfit;
    use rustix::io::Errno;

    use super::*;

    struct Stage {
        queue: SendQueue,
        ours: Channel,
        theirs: Channel,
        socket: OwnedFd,
    }

    impl Stage {
        fn new() -> Self {
            let (ours, theirs) = Channel::pair().unwrap();
            Self { queue: SendQueue::default(), ours, theirs, socket: crate::linux::unix::socket().unwrap() }
        }

        fn send(&mut self, news: News) {
            let sockets = if news == News::Keys { vec![self.socket.as_fd()] } else { vec![] };
            self.queue.send(&self.ours, &news, &sockets).unwrap();
        }

        fn read(&self) -> Vec<News> {
            let next = || self.theirs.receive::<News>(false).map(|received| received.message);
            std::iter::from_fn(|| match next() {
                Err(Errno::WOULDBLOCK) => None,
                news => Some(news.unwrap()),
            })
            .collect()
        }

        /// The worker has followed `count` more.
        fn follow(&mut self, count: u32) {
            self.queue.acknowledge(self.queue.acknowledged.wrapping_add(count));
            while let Some((news, socket)) = self.queue.due() {
                let sockets: Vec<_> = socket.iter().map(AsFd::as_fd).collect();
                self.queue.send(&self.ours, &news, &sockets).unwrap();
            }
        }
    }

    #[test]
    fn ten_thousand_signals_are_one_question_at_a_time_and_the_last_one_counts() {
        let mut stage = Stage::new();
        for _ in 0..10_000 {
            stage.send(News::Status);
            stage.send(News::Keys);
        }
        assert_eq!(stage.read(), [News::Status, News::Keys]);
        stage.follow(2);
        assert_eq!(stage.read(), [News::Keys, News::Status]);
        stage.follow(2);
        assert_eq!(stage.read(), []);
    }

    #[test]
    fn whatever_comes_no_more_is_unread_than_the_worker_has_room_for() {
        let mut stage = Stage::new();
        let neighbours = News::Neighbours { link: 0, are_gateways: false, addresses: heapless::Vec::new() };
        let kinds = [
            News::Status,
            News::Keys,
            News::Lost,
            News::Taken(1),
            News::Refused(2),
            News::Shutdown,
            News::Fenced(true),
            neighbours,
            News::Down { why: Unfit::NoCarrier, link: 0 },
        ];
        // All orders of a flood, with answers and reading in between.
        let mut random = 1u32;
        let mut unread = 0;
        for _ in 0..100_000 {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let pick = usize::try_from(random >> 16).unwrap();
            match &kinds[pick % kinds.len()] {
                News::Down { why, .. } if stage.queue.has_room_for_a_look() => {
                    stage.send(News::Fenced(false));
                    stage.send(News::Down { why: *why, link: 0 });
                    stage.send(News::MacChanged([[2; 6]; 4]));
                    stage.send(News::MacChanged([[4; 6]; 4]));
                }
                News::Down { .. } => {}
                news => stage.send(news.clone()),
            }
            unread += stage.read().len();
            assert!(unread <= MAX_UNREAD, "{unread}");
            if pick.is_multiple_of(7) {
                let followed = unread.min(pick % 5);
                stage.follow(u32::try_from(followed).unwrap());
                unread -= followed;
            }
        }
    }

    #[test]
    fn of_the_fence_the_last_news_counts_and_a_look_says_it_first() {
        let mut stage = Stage::new();
        for _ in 0..MAX_UNREAD {
            stage.send(News::Lost);
        }
        // A table that others delete a thousand times.
        for round in 0..1_000 {
            stage.send(News::Fenced(round % 2 == 0));
        }
        let unread = stage.read();
        assert_eq!((unread.len(), unread.last()), (MAX_UNREAD - LOOK + 1, Some(&News::Fenced(true))));
        assert!(!stage.queue.has_room_for_a_look());
        stage.follow(1);
        assert_eq!(stage.read(), [News::Fenced(false)], "the last one, and a look waits for the next place");
        stage.follow(1);
        assert!(stage.queue.has_room_for_a_look());
        for news in [
            News::Fenced(true),
            News::Down { why: Unfit::Exchanged, link: 0 },
            News::MacChanged([[2; 6]; 4]),
            News::MacChanged([[4; 6]; 4]),
        ] {
            stage.send(news.clone());
            assert_eq!(stage.read(), [news], "at once");
        }
        assert_eq!(stage.queue.unread(), MAX_UNREAD);
    }

    #[test]
    fn what_waited_is_sent_when_there_is_room() {
        let mut stage = Stage::new();
        for _ in 0..MAX_UNREAD {
            stage.send(News::Lost);
        }
        assert!(stage.queue.has_room_for_a_look(), "nothing else takes its places");
        stage.send(News::MacChanged([[2; 6]; 4]));
        assert!(!stage.queue.has_room_for_a_look());
        assert_eq!(stage.read().len(), MAX_UNREAD - LOOK + 1, "what does not fit is kept");
        for news in [News::Lost, News::Taken(7), News::Refused(8), News::Shutdown, News::Status] {
            stage.send(news);
        }
        assert_eq!(stage.read(), []);
        stage.follow(13);
        assert_eq!(stage.read(), [News::Refused(8), News::Lost, News::Shutdown, News::Status]);
        stage.queue.acknowledge(u32::MAX);
        assert!(stage.queue.unread() <= 4, "the worker cannot have read what was not sent");
    }
}
