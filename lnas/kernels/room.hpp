// Memory for many numbers, in large pages where the system has them: small ones cost more to be given than to be filled.

#pragma once

#include <cstdlib>
#include <memory>
#include <new>
#include <sys/mman.h>

namespace {

struct Free {
    void operator()(void *memory) const { std::free(memory); }
};

template <class T> using Room = std::unique_ptr<T[], Free>;

// Room for `count` numbers, which have no values yet.
template <class T> Room<T> room(size_t count) {
    constexpr size_t page = size_t(1) << 21, small = 64;
    const size_t wanted = count * sizeof(T) + 1, unit = wanted < page ? small : page, bytes = (wanted + unit - 1) / unit * unit;
    void *memory = std::aligned_alloc(unit, bytes);
    if (!memory) throw std::bad_alloc();
    if (unit == page) madvise(memory, bytes, MADV_HUGEPAGE);
    return Room<T>(static_cast<T *>(memory));
}

} // namespace
