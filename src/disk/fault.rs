//! A place before every mutating call where tests can look, edit or fail. In a normal build: nothing.

use std::io;

/// Whether syncs reach the disk. Unit tests stop calls and processes, never the power, and make so many
/// syncs that waiting for them would be all they do; `before` is called for each all the same.
pub(crate) const SYNCS: bool = !cfg!(test);

#[cfg(not(test))]
#[inline]
#[expect(clippy::unnecessary_wraps, reason = "the test build refuses here")]
pub(crate) fn before(_verb: &'static str, _path: impl FnOnce() -> Vec<u8>) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(crate) fn before(verb: &'static str, path: impl FnOnce() -> Vec<u8>) -> io::Result<()> {
    // Taken out while it runs, so that a hook may use the disk itself.
    let mut taken = Taken(HOOK.with_borrow_mut(Option::take));
    match &mut taken.0 {
        Some(hook) => hook(verb, &path()),
        None => Ok(()),
    }
}

/// A hook that goes back to its place, also when it unwinds, as one does that plays a killed process.
#[cfg(test)]
struct Taken(Option<Hook>);

#[cfg(test)]
impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(hook) = self.0.take() {
            HOOK.with_borrow_mut(|slot| *slot = Some(hook));
        }
    }
}

/// Called with the verb and path of each mutating call of this thread; an error stops the call.
#[cfg(test)]
pub(crate) type Hook = Box<dyn FnMut(&'static str, &[u8]) -> io::Result<()>>;

#[cfg(test)]
thread_local! {
    static HOOK: std::cell::RefCell<Option<Hook>> = const { std::cell::RefCell::new(None) };
}

/// Runs `body` with `hook` before each mutating call.
#[cfg(test)]
pub(crate) fn with_hook<T>(hook: Hook, body: impl FnOnce() -> T) -> T {
    struct Armed;
    impl Drop for Armed {
        fn drop(&mut self) {
            HOOK.with_borrow_mut(|slot| *slot = None);
        }
    }
    HOOK.with_borrow_mut(|slot| *slot = Some(hook));
    let _armed = Armed;
    body()
}

/// Runs `body` and lets the power fail at mutating call number `at` (from 0): it and all later ones
/// do nothing but fail. Returns the result and how many calls were tried.
#[cfg(test)]
pub(crate) fn crash_at<T>(at: usize, body: impl FnOnce() -> T) -> (T, usize) {
    let count = std::rc::Rc::new(std::cell::Cell::new(0));
    let seen = std::rc::Rc::clone(&count);
    let hook: Hook = Box::new(move |_, _| {
        let call = seen.get();
        seen.set(call + 1);
        if call >= at {
            Err(io::Error::other("injected crash"))
        } else {
            Ok(())
        }
    });
    let result = with_hook(hook, body);
    (result, count.get())
}
