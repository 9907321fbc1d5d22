//! The guest's heap: a bump allocator that zeroes what is freed.
//!
//! Between two calls nothing is allocated, so the heap starts over with every call and its pages are
//! zero whenever a snapshot could be taken. Within a call memory is not reused: a call's allocations
//! are few and bounded by its arguments.

use std::alloc::{GlobalAlloc, Layout};
use std::arch::wasm32::{memory_grow, memory_size};
use std::cell::UnsafeCell;

use crate::arena::Arena;

const PAGE_BYTES: usize = 65_536;

unsafe extern "C" {
    /// Set by the linker; its address is the first byte after data and stack.
    static __heap_base: u8;
}

struct Heap(UnsafeCell<Option<Arena>>);

// SAFETY: a component instance is single-threaded; the target has no threads.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap(UnsafeCell::new(None));

// SAFETY: the arena hands out ranges that are aligned, do not overlap while in use, and lie between
// the heap's base and the end of memory, which is grown before a range is returned.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: single-threaded, and nothing below allocates.
        let arena = unsafe { &mut *self.0.get() };
        let arena = arena.get_or_insert_with(|| Arena::new((&raw const __heap_base).addr()));
        match arena.reserve(layout.size(), layout.align()) {
            Some(start) if grow_to(arena.top()) => std::ptr::with_exposed_provenance_mut(start),
            _ => std::ptr::null_mut(),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // Memory is zero when it is grown and zeroed when it is freed.
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { self.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the block belongs to the caller until this call, and has the layout's size.
        unsafe { pointer.write_bytes(0, layout.size()) };
        // The write is to memory that is never read again, and must happen all the same.
        std::hint::black_box(pointer);
        // SAFETY: single-threaded.
        if let Some(arena) = unsafe { &mut *self.0.get() } {
            arena.release();
        }
    }
}

/// Makes sure that memory reaches to `end`.
fn grow_to(end: usize) -> bool {
    let pages = end.div_ceil(PAGE_BYTES);
    let present = memory_size::<0>();
    pages <= present || memory_grow::<0>(pages - present) != usize::MAX
}
