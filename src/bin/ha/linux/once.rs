//! A value that is set once, while the program starts.
//!
//! `unsafe`, for one reason: what has no lock may be shared in a program of one thread only.

#[cfg(not(test))]
pub use one_thread::Once;
/// Tests have threads.
#[cfg(test)]
pub use std::sync::OnceLock as Once;

#[cfg(not(test))]
mod one_thread {
    use std::cell::OnceCell;

    /// As `OnceLock`, but nobody waits for another thread to set it, which is 2 KB.
    pub struct Once<T>(OnceCell<T>);

    // SAFETY: the program has one thread.
    unsafe impl<T> Sync for Once<T> {}

    impl<T> Once<T> {
        pub const fn new() -> Self {
            Self(OnceCell::new())
        }

        pub fn get(&self) -> Option<&T> {
            self.0.get()
        }

        /// Sets it, or gives `value` back if it is set.
        pub fn set(&self, value: T) -> Result<(), T> {
            self.0.set(value)
        }
    }
}
