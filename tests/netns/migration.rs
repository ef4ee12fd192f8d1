//! Beside the daemon that this one replaces, ha 0.0.17 for Node.js: one owner all the time.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant, SystemTime};

use crate::capture::{Monitor, seconds};
use crate::daemon::Daemon;
use crate::lan::{A, B, Lan, Namespace, SHARED_CIDR};
use crate::lines::{PATIENCE, eventually};

tests![
    the_original_keeps_the_address_until_it_is_stopped,
    the_original_gives_way_at_once_to_a_lower_address_that_it_hears,
    a_machine_with_the_address_that_says_nothing_is_waited_for,
];

/// What the original does, with its times: says each 100 ms that it is there; takes the address after 350 ms without a word from an
/// address that is lower as text, whichever that is; gives it back at such a packet, and when it is asked to stop.
struct Original {
    is_told_to_stop: Arc<AtomicBool>,
    life: Option<JoinHandle<()>>,
}

impl Original {
    fn start(host: &Namespace, address: &'static str) -> Self {
        let speaker = host.socket(address, 64);
        let ear = host.inside(|| {
            let ear = UdpSocket::bind(("239.2.3.4", 5555)).unwrap();
            ear.join_multicast_v4(&Ipv4Addr::new(239, 2, 3, 4), &address.parse().unwrap()).unwrap();
            ear.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            ear
        });
        speaker.set_multicast_loop_v4(false).unwrap();
        let host = host.same();
        let is_told_to_stop = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&is_told_to_stop);
        let live = move || {
            let (mut spoke, mut suppressed) = (None, Instant::now());
            let mut is_active = false;
            while !stop.load(Ordering::Relaxed) {
                if spoke.is_none_or(|at: Instant| at.elapsed() >= Duration::from_millis(100)) {
                    spoke = Some(Instant::now());
                    speaker.send_to(b"https://github.com/chrisdew/ha", ("239.2.3.4", 5555)).unwrap();
                }
                if ear.recv_from(&mut [0; 128]).is_ok_and(|(_, from)| *from.ip().to_string() < *address) {
                    suppressed = Instant::now();
                }
                let is_worthy = suppressed.elapsed() >= Duration::from_millis(350);
                if is_worthy != is_active {
                    let verb = if is_worthy { "add" } else { "del" };
                    host.ip(&format!("address {verb} {SHARED_CIDR} dev eth0 label eth0:1"));
                    is_active = is_worthy;
                }
            }
            if is_active {
                host.ip(&format!("address del {SHARED_CIDR} dev eth0"));
            }
        };
        Self { is_told_to_stop, life: Some(thread::spawn(live)) }
    }

    fn stop(&mut self) {
        self.is_told_to_stop.store(true, Ordering::Relaxed);
        self.life.take().expect("stopped once").join().unwrap();
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        self.is_told_to_stop.store(true, Ordering::Relaxed);
    }
}

fn the_original_keeps_the_address_until_it_is_stopped() {
    // The original's address may be the more worthy one or not.
    for is_lower in [true, false] {
        let lan = Lan::new();
        let ends = [(&lan.a, A.0), (&lan.b, B.0)];
        let [(old_host, address), (new_host, _)] = if is_lower { ends } else { [ends[1], ends[0]] };
        let monitor = Monitor::start(old_host);
        let mut old = Original::start(old_host, address);
        eventually("the original is active", PATIENCE, || old_host.has(SHARED_CIDR));
        let started = SystemTime::now();
        let port = ["--multicast", "239.2.3.4:5556"];
        let new = Daemon::fast(new_host, &port);
        new.says("not taken (on-conflict hold)");
        sleep(Duration::from_secs(2));
        assert_eq!((old_host.has(SHARED_CIDR), new.count("active: ")), (true, 0), "{}", new.log());
        let went =
            monitor.events(SHARED_CIDR).into_iter().find(|event| event.is_deleted && event.at > seconds(started));
        assert_eq!(went, None, "it was never gone");
        let stopped = SystemTime::now();
        old.stop();
        let active = new.says("active: ");
        let gone = monitor.deleted(SHARED_CIDR, stopped, PATIENCE);
        assert!(gone <= seconds(active) && !old_host.has(SHARED_CIDR));
        assert!(seconds(active) - seconds(stopped) < 1.0, "dark for {} s", seconds(active) - seconds(stopped));
        // Its successor on the same machine.
        let next = Daemon::fast(old_host, &[&port[..], &["--worthiness", "200"]].concat());
        next.says("active: ");
        assert!(old_host.has(SHARED_CIDR) && !new_host.has(SHARED_CIDR));
    }
}

/// Why another port: on the same one it lets go before the new one is ready, and the address is gone for a tolerance.
fn the_original_gives_way_at_once_to_a_lower_address_that_it_hears() {
    let lan = Lan::new();
    let monitor = Monitor::start(&lan.b);
    let _old = Original::start(&lan.b, B.0);
    eventually("the original is active", PATIENCE, || lan.b.has(SHARED_CIDR));
    let started = SystemTime::now();
    let a = Daemon::fast(&lan.a, &[]);
    let active = a.says("active: ");
    let gone = monitor.deleted(SHARED_CIDR, started, PATIENCE);
    assert!(gone + 0.2 < seconds(active), "dark for {} s only", seconds(active) - gone);
    sleep(Duration::from_secs(1));
    assert!(lan.a.has(SHARED_CIDR) && !lan.b.has(SHARED_CIDR), "it stays so, as both speak at the same pace");
}

fn a_machine_with_the_address_that_says_nothing_is_waited_for() {
    let lan = Lan::new();
    lan.a.ip(&format!("address add {SHARED_CIDR} dev eth0 label eth0:1"));
    let b = Daemon::fast(&lan.b, &[]);
    b.says(&format!("warning: 10.0.0.100 is in use by {} (no node that is known), ", A.1));
    sleep(Duration::from_secs(2));
    assert_eq!(b.count("active: "), 0, "{}", b.log());
    lan.a.ip(&format!("address del {SHARED_CIDR} dev eth0"));
    b.says("active: ");
    assert!(lan.b.has(SHARED_CIDR));
}
