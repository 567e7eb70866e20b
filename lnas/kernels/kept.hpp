// Products over the units that dropout leaves a stream for all of its steps: (steps, units) times (units, columns),
// where only some units are not 0. `units` holds their numbers; panels are blocks of columns that fill two vectors.

#pragma once

#include <algorithm>

#include "curves.hpp"

namespace {

template <class T, int BYTES> struct Kept : Curves<T, BYTES> {
    using C = Curves<T, BYTES>;
    using V = typename C::V;
    static constexpr Int L = C::L, WIDTH = 2 * L;
    static constexpr Int AHEAD = 12; // rows that are fetched before they are read: what is kept is no even stride
    using C::load, C::store;

    // to[t, k] = from[t, units[k]], the rows of `from` being `apart` from each other
    static void gather_units(const T *from, Int apart, Int steps, const Int *units, Int count, T *to, Int to_apart) {
        for (Int t = 0; t < steps; t++)
            for (Int k = 0; k < count; k++) to[t * to_apart + k] = from[t * apart + units[k]];
    }

    // to[k, c] = panel[units[k], c]
    static void gather_rows(const T *panel, const Int *units, Int count, T *to) {
        for (Int k = 0; k < count; k++) {
            const T *from = panel + units[k] * WIDTH;
            __builtin_prefetch(panel + units[std::min(k + AHEAD, count - 1)] * WIDTH);
            __builtin_prefetch(panel + units[std::min(k + AHEAD, count - 1)] * WIDTH + L);
            for (int b = 0; b < 2; b++) store(to + k * WIDTH + b * L, load(from + b * L));
        }
    }

    // out[t, c] = sum_k in[t, k] * panel[k, c]
    static void times_panel(const T *in, Int steps, Int count, const T *panel, T *out) {
        C::evenly(steps, [&](Int t, auto rows) INLINE {
            constexpr int R = decltype(rows)::value;
            V acc[R][2] = {};
            const T *own = in + t * count;
            for (Int k = 0; k < count; k++) {
                const V left = load(panel + k * WIDTH), right = load(panel + k * WIDTH + L);
                for (int a = 0; a < R; a++) {
                    const T value = own[a * count + k];
                    acc[a][0] += value * left;
                    acc[a][1] += value * right;
                }
            }
            for (int a = 0; a < R; a++)
                for (int b = 0; b < 2; b++) store(out + (t + a) * WIDTH + b * L, acc[a][b]);
        });
    }

    // matrix[units[k], c] += sum_t in[t, k] * panel[t, c], for a panel of a matrix
    static void add_products(const T *in, Int steps, Int count, const T *panel, T *matrix, const Int *units) {
        C::evenly(count, [&](Int k, auto rows) INLINE {
            constexpr int R = decltype(rows)::value;
            V acc[R][2];
            for (int a = 0; a < R; a++)
                for (int b = 0; b < 2; b++) acc[a][b] = load(matrix + units[k + a] * WIDTH + b * L);
            for (Int t = 0; t < steps; t++) {
                const V left = load(panel + t * WIDTH), right = load(panel + t * WIDTH + L);
                if (t < R && k + R + t < count) { // a row of the next ones
                    __builtin_prefetch(matrix + units[k + R + t] * WIDTH, 1);
                    __builtin_prefetch(matrix + units[k + R + t] * WIDTH + L, 1);
                }
                for (int a = 0; a < R; a++) {
                    const T value = in[t * count + k + a];
                    acc[a][0] += value * left;
                    acc[a][1] += value * right;
                }
            }
            for (int a = 0; a < R; a++)
                for (int b = 0; b < 2; b++) store(matrix + units[k + a] * WIDTH + b * L, acc[a][b]);
        });
    }

    // What `turned` and `out` of the next function have in a row: the steps, filled up to whole vectors.
    static Int filled(Int steps) { return (steps + L - 1) / L * L; }

    // out[k, t] = sum_c matrix[units[k], c] * turned[c, t], for a matrix of so many panels that lie `apart`; or added to it
    static void times_turned(const T *matrix, Int panels, Int apart, const Int *units, Int count, const T *turned, Int wide, T *out,
                             bool add = false) {
        C::template evenly<3>(wide / L, [&](Int first, auto vectors) INLINE {
            constexpr int B = decltype(vectors)::value;
            constexpr Int MOST = B == 3 ? C::ROWS * 2 / 3 : C::ROWS;
            C::template evenly<MOST>(count, [&](Int k, auto rows) INLINE {
                constexpr int R = decltype(rows)::value;
                V acc[R][B] = {};
                if (add)
                    for (int a = 0; a < R; a++)
                        for (int b = 0; b < B; b++) acc[a][b] = load(out + (k + a) * wide + (first + b) * L);
                for (Int p = 0; p < panels; p++) {
                    const T *row[R], *from = turned + p * WIDTH * wide + first * L;
                    for (int a = 0; a < R; a++) row[a] = matrix + p * apart + units[k + a] * WIDTH;
                    for (Int c = 0; c < WIDTH; c++) {
                        if (c < R && p + 1 < panels) {
                            __builtin_prefetch(row[c] + apart);
                            __builtin_prefetch(row[c] + apart + L);
                        }
                        V own[B];
                        for (int b = 0; b < B; b++) own[b] = load(from + c * wide + b * L);
                        for (int a = 0; a < R; a++) {
                            const T value = row[a][c];
                            for (int b = 0; b < B; b++) acc[a][b] += value * own[b];
                        }
                    }
                }
                for (int a = 0; a < R; a++)
                    for (int b = 0; b < B; b++) store(out + (k + a) * wide + (first + b) * L, acc[a][b]);
            });
        });
    }

    // panel[i, c] = rows[c, i] for `count` rows that lie `apart`, and back
    static void turn(const T *rows, Int apart, Int count, Int units, T *panel) {
        blocks(count, units, [&](Int c, Int i) INLINE { panel[i * WIDTH + c] = rows[c * apart + i]; });
    }
    static void turn_back(const T *panel, Int count, Int units, T *rows, Int apart) {
        blocks(count, units, [&](Int c, Int i) INLINE { rows[c * apart + i] = panel[i * WIDTH + c]; });
    }

    template <class Body> INLINE static inline void blocks(Int count, Int units, const Body &body) {
        for (Int start = 0; start < units; start += 16)
            for (Int c = 0; c < count; c++)
                for (Int i = start; i < std::min(start + 16, units); i++) body(c, i);
    }
};

} // namespace
