// Products of a few rows with a matrix that many of them share, and that therefore lies ready.
//
// The matrix lies as panels of columns that fill a few vectors, each panel row after row: it is read in one go from
// memory, in which a network's matrices lie, and only once for all rows, which are in the cache. Panels are shared out
// over threads; each number is the sum of its terms in their order, whatever the number of threads.

#pragma once

#include <algorithm>

#include "dispatch.hpp"

namespace {

// A product and all that it reads and writes.
struct Product {
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
    // Vectors of a panel, and rows that are multiplied by it at a time: their sums fill the registers.
    static constexpr int N = WIDEST == 64 ? 3 : 2;
    static constexpr Int L = P::L, WIDTH = N * L, TALL = WIDEST == 64 ? 8 : 6;
    using P::load, P::store;

    // Rows of a panel that a second-level cache holds beside the next ones, which are fetched meanwhile.
    static constexpr Int DEEP = (1 << 18) / (WIDTH * sizeof(T));

    // To be called by all threads, each with sums of its own, (rows, WIDTH).
    static void multiply(const Product &k, T *sums) {
        const Int count = (k.columns + WIDTH - 1) / WIDTH, parts = P::template parts<DEEP>(k.inner);
#pragma omp for
        for (Int panel = 0; panel < count; panel++)
            for (Int part = 0; part < parts; part++) {
                const Int start = k.inner * part / parts, end = k.inner * (part + 1) / parts;
                P::template evenly<TALL>(k.rows, [&](Int row, auto rows) INLINE {
                    tile<decltype(rows)::value>(k, panel, start, end, row, sums + row * WIDTH);
                });
            }
    }

    // Adds some terms to the sums of R rows and a panel, and writes what these are used for behind the last.
    template <int R> INLINE static inline void tile(const Product &k, Int panel, Int start, Int end, Int row, T *sums) {
        const Int size = end - start;
        const T *matrix = static_cast<const T *>(k.panels) + (panel * k.inner + start) * WIDTH;
        const T *from = static_cast<const T *>(k.from) + row * k.from_apart + start;
        V acc[R][N] = {};
        if (start > 0)
            for (int a = 0; a < R; a++)
                for (int b = 0; b < N; b++) acc[a][b] = load(sums + a * WIDTH + b * L);
        auto term = [&](Int i) INLINE {
            V own[N];
            for (int b = 0; b < N; b++) own[b] = load(matrix + i * WIDTH + b * L);
            for (int a = 0; a < R; a++) {
                const T value = from[a * k.from_apart + i];
                for (int b = 0; b < N; b++) acc[a][b] += value * own[b];
            }
        };
        // Each tile fetches its part of what is next in the panels, little by little.
        const Int tiles = P::template parts<TALL>(k.rows);
        const T *next = matrix + (size + row * size / k.rows) * WIDTH;
        Int i = 0;
        for (; i + tiles <= size; i += tiles, next += WIDTH) {
            for (int b = 0; b < N; b++) __builtin_prefetch(next + b * L, 0, 2);
            for (Int j = 0; j < tiles; j++) term(i + j);
        }
        for (; i < size; i++) term(i);
        for (int a = 0; a < R; a++)
            for (int b = 0; b < N; b++)
                if (end < k.inner)
                    store(sums + a * WIDTH + b * L, acc[a][b]);
                else
                    finish(k, row + a, panel * WIDTH + b * L, acc[a][b]);
    }

    INLINE static inline void finish(const Product &k, Int row, Int column, V value) {
        if (column + L <= k.columns)
            finish_all(k, row, column, value);
        else
            finish_some(k, row, column, value, std::max<Int>(k.columns - column, 0));
    }

    INLINE static inline void finish_all(const Product &k, Int row, Int column, V value) {
        if (k.factors) value *= load(static_cast<const T *>(k.factors) + row * k.columns + column);
        if (k.add) value += load(static_cast<const T *>(k.add) + row * k.add_apart + column);
        store(static_cast<T *>(k.to) + row * k.to_apart + column, value);
    }

    static void finish_some(const Product &k, Int row, Int column, V value, Int size) {
        for (Int i = 0; i < size; i++) {
            T one = value[i];
            if (k.factors) one *= static_cast<const T *>(k.factors)[row * k.columns + column + i];
            if (k.add) one += static_cast<const T *>(k.add)[row * k.add_apart + column + i];
            static_cast<T *>(k.to)[row * k.to_apart + column + i] = one;
        }
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
