// SPDX-License-Identifier: MIT
// Annotations that say which lock guards what. clang checks them (-Wthread-safety); for g++ they are empty.
//
// An argument is an expression for a lock as it is seen at that place: a member, a parameter, or
// state_->mutex. The meaning of each in full: https://clang.llvm.org/docs/ThreadSafetyAnalysis.html
//
// Constructors and destructors are not checked: nobody else may have the object then.
#pragma once

#if defined(__clang__)
#define VMEMFS_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define VMEMFS_THREAD_ANNOTATION(x)
#endif

// ---- types

/// A class of locks; the name is for the compiler's messages.
#define CAPABILITY(name) VMEMFS_THREAD_ANNOTATION(capability(name))
/// A class that holds a lock as long as it exists.
#define SCOPED_CAPABILITY VMEMFS_THREAD_ANNOTATION(scoped_lockable)

// ---- members and variables

/// Is read and written only with this lock held; for reading, a shared lock is enough.
#define GUARDED_BY(lock) VMEMFS_THREAD_ANNOTATION(guarded_by(lock))
/// A pointer to something that is read and written only with this lock held; the pointer itself is not
/// guarded.
#define PT_GUARDED_BY(lock) VMEMFS_THREAD_ANNOTATION(pt_guarded_by(lock))
/// The order of two locks that a thread may hold at the same time. At one of the two is enough.
#define ACQUIRED_BEFORE(...) VMEMFS_THREAD_ANNOTATION(acquired_before(__VA_ARGS__))
#define ACQUIRED_AFTER(...) VMEMFS_THREAD_ANNOTATION(acquired_after(__VA_ARGS__))

// ---- functions

/// The caller holds these locks, before and after the call.
#define REQUIRES(...) VMEMFS_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
/// The same, for a function that only reads: a lock that is shared with other readers is enough.
#define REQUIRES_SHARED(...) VMEMFS_THREAD_ANNOTATION(requires_shared_capability(__VA_ARGS__))
/// The caller does not hold these locks: the function takes them, or waits for a thread that does.
#define EXCLUDES(...) VMEMFS_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
/// Takes or releases a lock; without an argument, this object. Only for classes of locks.
#define ACQUIRE(...) VMEMFS_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define RELEASE(...) VMEMFS_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
/// The same, for a lock that is shared with other readers.
#define ACQUIRE_SHARED(...) VMEMFS_THREAD_ANNOTATION(acquire_shared_capability(__VA_ARGS__))
#define RELEASE_SHARED(...) VMEMFS_THREAD_ANNOTATION(release_shared_capability(__VA_ARGS__))
/// Takes a lock if the function returns the first argument.
#define TRY_ACQUIRE(...) VMEMFS_THREAD_ANNOTATION(try_acquire_capability(__VA_ARGS__))
/// States that the lock is held, where the compiler cannot see it. Does nothing when it runs.
#define ASSERT_CAPABILITY(...) VMEMFS_THREAD_ANNOTATION(assert_capability(__VA_ARGS__))
/// The body is not checked. Only with a comment that says why it cannot be.
#define NO_THREAD_SAFETY_ANALYSIS VMEMFS_THREAD_ANNOTATION(no_thread_safety_analysis)
