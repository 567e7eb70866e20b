// Products of one row: depthwise and pointwise convolutions and the gradients of their weights, in vectors of
// channels. Images lie in memory as (N, H, W, C).

#pragma once

#include <cstdint>
#include <type_traits>

#define INLINE __attribute__((always_inline))

namespace {

using Int = int64_t;

template <class T, int BYTES> struct Products {
    static constexpr Int L = BYTES / sizeof(T);
    typedef T V __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));

    static V load(const T *p) { return *reinterpret_cast<const V *>(p); }
    static void store(T *p, V v) { *reinterpret_cast<V *>(p) = v; }
    static V rectify(V v) { return v < V{} ? V{} : v; } // keeps what is not a number

    // B outputs of a depthwise convolution, S units of input apart; each input is loaded once per kernel row.
    template <int K, int B, int S>
    static void window(const T *u, Int down, Int unit, Int c, const T *w, T *out, Int apart) {
        V acc[B] = {};
#pragma GCC unroll 1
        for (int i = 0; i < K; i++) {
            V wv[K];
#pragma GCC unroll 8
            for (int j = 0; j < K; j++) wv[j] = load(w + (i * K + j) * c);
            const T *from = u + i * down;
#pragma GCC unroll 32
            for (int q = 0; q < (B - 1) * S + K; q++) {
                const V v = load(from + q * unit);
#pragma GCC unroll 8
                for (int b = 0; b < B; b++)
                    if (q - S * b >= 0 && q - S * b < K) acc[b] += v * wv[q - S * b];
            }
        }
#pragma GCC unroll 8
        for (int b = 0; b < B; b++) store(out + b * apart, acc[b]);
    }

    // Depthwise convolution of one row; u points at the first tap of the first output.
    template <int K>
    static void depthwise(const T *u, Int line, Int c, const T *w, Int dilation, Int stride, T *out, Int width) {
        // Outputs whose inputs overlap: every dilation-th one, or all of a strided convolution.
        const Int apart = stride == 1 ? dilation : 1, down = dilation * line, unit = dilation * c;
        const bool sparse = stride > dilation;
        for (Int cv = 0; cv < c; cv += L)
            for (Int first = 0; first < apart; first++) {
                Int x = first;
                auto run = [&](auto size) {
                    constexpr int B = decltype(size)::value;
                    for (; x + (B - 1) * apart < width; x += B * apart) {
                        const T *from = u + x * stride * c + cv;
                        T *to = out + x * c + cv;
                        if (sparse)
                            window<K, B, 2>(from, down, unit, c, w + cv, to, apart * c);
                        else
                            window<K, B, 1>(from, down, unit, c, w + cv, to, apart * c);
                    }
                };
                run(std::integral_constant<int, 8>());
                run(std::integral_constant<int, 4>());
                run(std::integral_constant<int, 1>());
            }
    }

    // The transpose of a strided depthwise convolution: adds one row of gradients where it came from.
    template <int K>
    static void scatter(const T *g, Int line, Int c, const T *w, Int dilation, Int stride, T *u, Int width) {
        for (Int x = 0; x < width; x++)
            for (Int cv = 0; cv < c; cv += L) {
                const V gv = load(g + x * c + cv);
                for (int i = 0; i < K; i++)
                    for (int j = 0; j < K; j++) {
                        T *to = u + i * dilation * line + (x * stride + j * dilation) * c + cv;
                        store(to, load(to) + gv * load(w + (i * K + j) * c + cv));
                    }
            }
    }

    // Adds the gradient of some rows of the depthwise kernel from one row.
    template <int K, int FROM, int ROWS>
    static void depthwise_rows(const T *u, Int line, Int c, const T *g, Int dilation, Int stride, T *dw, Int width) {
        for (Int cv = 0; cv < c; cv += L) {
            V acc[ROWS][K] = {};
            for (Int x = 0; x < width; x++) {
                const V gv = load(g + x * c + cv);
#pragma GCC unroll 3
                for (int i = 0; i < ROWS; i++) {
                    const T *from = u + (FROM + i) * dilation * line + x * stride * c + cv;
#pragma GCC unroll 5
                    for (int j = 0; j < K; j++) acc[i][j] += gv * load(from + j * dilation * c);
                }
            }
#pragma GCC unroll 3
            for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 5
                for (int j = 0; j < K; j++) {
                    T *to = dw + ((FROM + i) * K + j) * c + cv;
                    store(to, load(to) + acc[i][j]);
                }
        }
    }

    template <int K>
    static void depthwise_weight(const T *u, Int line, Int c, const T *g, Int dilation, Int stride, T *dw, Int width) {
        if constexpr (K == 3) {
            depthwise_rows<3, 0, 3>(u, line, c, g, dilation, stride, dw, width);
        } else {
            depthwise_rows<5, 0, 3>(u, line, c, g, dilation, stride, dw, width);
            depthwise_rows<5, 3, 2>(u, line, c, g, dilation, stride, dw, width);
        }
    }

    // How many rows of two vectors each fill the registers.
    static constexpr Int ROWS = BYTES == 64 ? 12 : 6;

    template <Int MOST = ROWS> static Int parts(Int size) { return (size + MOST - 1) / MOST; }

    // Calls block(start, size) for as few parts of up to MOST as there must be, of nearly the same constant sizes.
    template <Int MOST = ROWS, class Block> INLINE static inline void evenly(Int size, const Block &block) {
        const Int count = parts<MOST>(size);
        for (Int part = 0; part < count; part++) {
            const Int start = size * part / count;
            of_size<MOST>(size * (part + 1) / count - start, [&](auto number) INLINE { block(start, number); });
        }
    }

    template <Int MOST, class Body> INLINE static inline void of_size(Int size, const Body &body) {
        if (size == MOST)
            body(std::integral_constant<int, MOST>());
        else if constexpr (MOST > 1)
            of_size<MOST - 1>(size, body);
    }

    // Calls block(row, column, rows, vectors of columns) for tiles that fill registers.
    template <class Tile> INLINE static inline void tiles(Int rows, Int columns, const Tile &block) {
        auto down = [&](Int column, auto width) INLINE {
            Int row = 0;
            // The last 8 as 4 and 4: 2 rows are too few to hide the latency of a product.
            for (; row + 6 <= rows && row + 8 != rows; row += 6) block(row, column, std::integral_constant<int, 6>(), width);
            for (; row + 4 <= rows; row += 4) block(row, column, std::integral_constant<int, 4>(), width);
            for (; row + 2 <= rows; row += 2) block(row, column, std::integral_constant<int, 2>(), width);
            for (; row < rows; row++) block(row, column, std::integral_constant<int, 1>(), width);
        };
        Int column = 0;
        for (; column + 2 * L <= columns; column += 2 * L) down(column, std::integral_constant<int, 2>());
        for (; column < columns; column += L) down(column, std::integral_constant<int, 1>());
    }

    // out[p, o] = sum_i in[p, i] * w[i, o], or added to what is there
    template <bool ADD = false>
    static void pointwise(const T *in, const T *w, Int c, T *out, Int pixels) {
        auto block = [&](Int p, Int o, auto rows, auto columns) INLINE {
            constexpr int R = decltype(rows)::value, C = decltype(columns)::value;
            V acc[R][C] = {};
            if constexpr (ADD)
                for (int a = 0; a < R; a++)
                    for (int b = 0; b < C; b++) acc[a][b] = load(out + (p + a) * c + o + b * L);
            for (Int i = 0; i < c; i++) {
                V wv[C];
                for (int b = 0; b < C; b++) wv[b] = load(w + i * c + o + b * L);
                for (int a = 0; a < R; a++) {
                    const T value = in[(p + a) * c + i];
                    for (int b = 0; b < C; b++) acc[a][b] += value * wv[b];
                }
            }
            for (int a = 0; a < R; a++)
                for (int b = 0; b < C; b++) store(out + (p + a) * c + o + b * L, acc[a][b]);
        };
        tiles(pixels, c, block);
    }

    // dw[o, i] += sum_p g[p, o] * d[p, i]
    static void pointwise_weight(const T *d, const T *g, Int c, T *dw, Int pixels) {
        auto block = [&](Int o, Int i, auto rows, auto columns) INLINE {
            constexpr int R = decltype(rows)::value, C = decltype(columns)::value;
            V acc[R][C];
            for (int a = 0; a < R; a++)
                for (int b = 0; b < C; b++) acc[a][b] = load(dw + (o + a) * c + i + b * L);
            for (Int p = 0; p < pixels; p++) {
                V dv[C];
                for (int b = 0; b < C; b++) dv[b] = load(d + p * c + i + b * L);
                for (int a = 0; a < R; a++) {
                    const T value = g[p * c + o + a];
                    for (int b = 0; b < C; b++) acc[a][b] += value * dv[b];
                }
            }
            for (int a = 0; a < R; a++)
                for (int b = 0; b < C; b++) store(dw + (o + a) * c + i + b * L, acc[a][b]);
        };
        tiles(c, c, block);
    }
};

} // namespace
