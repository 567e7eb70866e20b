// Products of a few rows with a matrix that many of them share, and that therefore lies ready; lnas/kernels/panels.py
// says what.
//
// The matrix lies as panels of columns that fill two vectors, each panel row after row: it is read in one go from
// memory, in which a network's matrices lie, and only once for all rows, which are in the cache. Panels are shared out
// over threads; each number is the sum of its terms in their order, whatever the number of threads.

#include <algorithm>
#include <cstring>

#include "dispatch.hpp"

namespace {

// A product and all that it reads and writes; the same structure stands in panels.py.
struct Panels {
    Int rows, inner, columns;
    Int from_apart, to_apart, add_apart; // how far apart the rows of each lie
    const void *from;                    // (rows, inner)
    const void *panels;                  // see `pack`
    const void *factors;                 // of the product, (rows, columns), if there are any
    const void *add;                     // to the product, (rows, columns); may be `to`, or nothing
    void *to;                            // (rows, columns)
};

template <class T> struct Tiles : Products<T, WIDEST> {
    using P = Products<T, WIDEST>;
    using V = typename P::V;
    static constexpr Int L = P::L, WIDTH = 2 * L;
    using P::load, P::store;

    static void run(const Panels &k, Int threads) {
        const Int count = (k.columns + WIDTH - 1) / WIDTH;
#pragma omp parallel for num_threads(threads)
        for (Int panel = 0; panel < count; panel++) {
            const T *matrix = static_cast<const T *>(k.panels) + panel * WIDTH * k.inner;
            P::tiles(k.rows, WIDTH, [&](Int row, Int, auto rows, auto) INLINE { tile<decltype(rows)::value>(k, panel, matrix, row); });
        }
    }

    template <int R> INLINE static inline void tile(const Panels &k, Int panel, const T *matrix, Int row) {
        const T *from = static_cast<const T *>(k.from) + row * k.from_apart, *next = matrix + WIDTH * k.inner;
        V acc[R][2] = {};
        for (Int i = 0; i < k.inner; i++) {
            const V left = load(matrix + i * WIDTH), right = load(matrix + i * WIDTH + L);
            if (row == 0) __builtin_prefetch(next + i * WIDTH);
            for (int a = 0; a < R; a++) {
                const T value = from[a * k.from_apart + i];
                acc[a][0] += value * left;
                acc[a][1] += value * right;
            }
        }
        for (int a = 0; a < R; a++)
            for (int b = 0; b < 2; b++) finish(k, row + a, panel * WIDTH + b * L, acc[a][b]);
    }

    INLINE static inline void finish(const Panels &k, Int row, Int column, V value) {
        const size_t size = std::clamp<Int>(k.columns - column, 0, L) * sizeof(T);
        auto some = [&](const void *all, Int apart) INLINE {
            V v{};
            std::memcpy(&v, static_cast<const T *>(all) + row * apart + column, size);
            return v;
        };
        if (k.factors) value *= some(k.factors, k.columns);
        if (k.add) value += some(k.add, k.add_apart);
        std::memcpy(static_cast<T *>(k.to) + row * k.to_apart + column, &value, size);
    }

    // Lays a matrix, of which rows and columns lie `down` and `right` apart, as panels: (panels, inner, WIDTH).
    static void pack(const T *matrix, Int inner, Int columns, Int down, Int right, T *panels, Int threads) {
#pragma omp parallel for num_threads(threads)
        for (Int first = 0; first < columns; first += WIDTH)
            for (Int i = 0; i < inner; i++)
                for (Int c = 0; c < WIDTH; c++)
                    panels[(first * inner + i * WIDTH) + c] = first + c < columns ? matrix[i * down + (first + c) * right] : 0;
    }
};

} // namespace

extern "C" {

void panels_pack(int is_double, const void *matrix, Int inner, Int columns, Int down, Int right, void *panels, Int threads) {
    auto pack = [&](auto zero) {
        using T = decltype(zero);
        Tiles<T>::pack(static_cast<const T *>(matrix), inner, columns, down, right, static_cast<T *>(panels), threads);
    };
    is_double ? pack(double()) : pack(float());
}

void panels_multiply(int is_double, const Panels *product, Int threads) {
    is_double ? Tiles<double>::run(*product, threads) : Tiles<float>::run(*product, threads);
}
}
