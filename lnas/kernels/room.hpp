// Memory for many numbers, in large pages where the system has them, and kept for the next call: to be given memory, and
// to have it cleared, costs more than to fill it.

#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <sys/mman.h>
#include <vector>

namespace {

constexpr size_t LARGE = size_t(1) << 21;

struct Block {
    void *memory;
    size_t bytes;
};

// Blocks that nobody uses, the last ones behind.
struct Unused {
    static constexpr size_t MOST = 8;
    std::mutex mutex;
    std::vector<Block> blocks;

    Block take(size_t bytes) {
        const std::lock_guard<std::mutex> lock(mutex);
        for (auto block = blocks.begin(); block != blocks.end(); ++block)
            if (bytes <= block->bytes && block->bytes <= 2 * bytes) {
                const Block found = *block;
                blocks.erase(block);
                return found;
            }
        return {nullptr, 0};
    }

    void give(Block block) {
        const std::lock_guard<std::mutex> lock(mutex);
        blocks.push_back(block);
        if (blocks.size() <= MOST) return;
        std::free(blocks.front().memory);
        blocks.erase(blocks.begin());
    }
};

Unused unused;

struct GiveBack {
    size_t bytes = 0;
    void operator()(void *memory) const { unused.give({memory, bytes}); }
};

template <class T> using Room = std::unique_ptr<T[], GiveBack>;

// Asks for large pages where memory is not in use yet.
inline void in_large_pages(void *memory, size_t bytes) {
    const auto begin = (reinterpret_cast<uintptr_t>(memory) + LARGE - 1) / LARGE * LARGE;
    const auto end = (reinterpret_cast<uintptr_t>(memory) + bytes) / LARGE * LARGE;
    if (begin < end) madvise(reinterpret_cast<void *>(begin), end - begin, MADV_HUGEPAGE);
}

// Room for `count` numbers, which have no values yet.
template <class T> Room<T> room(size_t count) {
    const size_t wanted = count * sizeof(T) + 1, unit = wanted < LARGE ? 64 : LARGE, bytes = (wanted + unit - 1) / unit * unit;
    Block block = unused.take(bytes);
    if (!block.memory) {
        block = {std::aligned_alloc(unit, bytes), bytes};
        if (!block.memory) throw std::bad_alloc();
        in_large_pages(block.memory, bytes);
    }
    return Room<T>(static_cast<T *>(block.memory), GiveBack{block.bytes});
}

} // namespace
