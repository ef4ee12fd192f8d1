//! Tests that need network namespaces. Where these are not permitted they count as ignored: that is why such tests have a `main` of
//! their own.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use ha_lab::sys;

/// Runs them, as the command line says.
pub fn run<const N: usize>(tests: [(&'static str, fn()); N]) -> ExitCode {
    let refusal = sys::may_unshare().err();
    if let Some(error) = &refusal {
        eprintln!("IGNORED: no permission to create network namespaces ({error})");
    }
    let trial = |(name, test): (&str, fn())| {
        let body = move || {
            test();
            Ok::<(), Failed>(())
        };
        Trial::test(name, body).with_ignored_flag(refusal.is_some())
    };
    libtest_mimic::run(&Arguments::from_args(), tests.map(trial).into()).exit_code()
}
