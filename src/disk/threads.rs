//! Work on many files that waits for the processor and for memory, on two threads.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Less than this is done before a second thread has begun.
const WORTH_BYTES: u64 = 4 * 1024 * 1024;
const THREADS: usize = 2;

/// Does `work` for each of `items`, in any order, on two threads if they have enough `bytes` of content. The first
/// failure ends it.
///
/// # Errors
/// That failure.
pub fn for_each<T: Sync, E: Send>(
    items: &[T],
    bytes: u64,
    work: &(dyn Fn(&T) -> Result<(), E> + Sync),
) -> Result<(), E> {
    if bytes < WORTH_BYTES || items.len() < THREADS {
        return items.iter().try_for_each(work);
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let take = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            if failed.load(Ordering::Relaxed) {
                break;
            }
            if let Err(e) = work(item) {
                failed.store(true, Ordering::Relaxed);
                return Err(e);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let spawn = || std::thread::Builder::new().spawn_scoped(scope, take);
        // Without a second thread the first does it all.
        let others: Vec<_> = (1..THREADS).filter_map(|_| spawn().ok()).collect();
        let own = take();
        let join = |other: std::thread::ScopedJoinHandle<'_, Result<(), E>>| match other.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        others.into_iter().map(join).fold(own, Result::and)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn each_item_has_its_turn_once() {
        for bytes in [0, WORTH_BYTES] {
            let done = Mutex::new(vec![]);
            let outcome = for_each(&[3, 1, 4, 2, 5], bytes, &|n| {
                done.lock().unwrap().push(*n);
                Ok::<_, ()>(())
            });
            let mut done = done.into_inner().unwrap();
            done.sort_unstable();
            assert_eq!((outcome, done), (Ok(()), vec![1, 2, 3, 4, 5]));
        }
    }

    #[test]
    fn a_failure_of_either_thread_is_the_outcome() {
        for bytes in [0, WORTH_BYTES] {
            for bad in 0..4 {
                let work = |n: &i32| if *n == bad { Err(*n) } else { Ok(()) };
                assert_eq!(for_each(&[0, 1, 2, 3], bytes, &work), Err(bad));
            }
        }
    }
}
