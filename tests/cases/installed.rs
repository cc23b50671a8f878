//! The tests' own way to install programs, on which most scenarios depend.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::support::install::install_script;

#[test]
fn a_program_that_a_test_puts_in_place_runs_though_other_threads_start_programs_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    Command::new("true").status().unwrap();
                }
            });
        }
        for number in 0..50 {
            let program = dir.path().join(format!("program-{number}"));
            install_script("#!/bin/sh\nexit 7\n", &program);
            // "Text file busy" if another program inherited a descriptor for writing to it.
            let ran = Command::new(&program).status();
            is_over.store(ran.is_err() || number == 49, Relaxed);
            assert_eq!(ran.unwrap().code(), Some(7));
        }
    });
}
