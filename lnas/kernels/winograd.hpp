// Winograd's minimal convolution F(2x2, 3x3) (Lavin and Gray, CVPR 2016, arXiv:1509.09308, section 4.1).
//
// A tile of 2x2 outputs reads 4x4 inputs: Y = A' ((G g G') * (B' d B)) A, summed over channels, with 16 products
// for 4 outputs where the sum itself takes 36. A 1x1 kernel is one whose middle alone is not zero: then all but
// the inner 2x2 of the 16 vanish. The transposed transforms give the gradients. All constants are 1 or 1/2.

#pragma once

#include <vector>

#include "products.hpp"

namespace {

template <class T, int BYTES> struct Winograd : Products<T, BYTES> {
    using P = Products<T, BYTES>;
    using V = typename P::V;
    static constexpr Int L = P::L;
    using P::load, P::store;
    static constexpr int PLACES = 16;

    // Calls body with each place of the 4x4 that a kernel of side K does not leave zero.
    template <class Body> static void places(Int kernel, Body body) {
        const int inset = kernel == 1;
        for (int i = inset; i < 4 - inset; i++)
            for (int j = inset; j < 4 - inset; j++) body(4 * i + j);
    }

    // v = B' d B of one tile and one vector of channels; rows of d are a line apart, places of v are `apart`.
    static void spread(const T *d, Int line, Int c, T *v, Int apart) {
        auto row = [&](int i, auto at) INLINE {
            const V d0 = at(0), d1 = at(1), d2 = at(2), d3 = at(3);
            T *to = v + 4 * i * apart;
            store(to, d0 - d2), store(to + apart, d1 + d2), store(to + 2 * apart, d2 - d1), store(to + 3 * apart, d1 - d3);
        };
        auto in = [&](int i, int j) INLINE { return load(d + i * line + j * c); };
        row(0, [&](int j) INLINE { return in(0, j) - in(2, j); });
        row(1, [&](int j) INLINE { return in(1, j) + in(2, j); });
        row(2, [&](int j) INLINE { return in(2, j) - in(1, j); });
        row(3, [&](int j) INLINE { return in(1, j) - in(3, j); });
    }

    // d += B v B', the transpose of `spread`.
    static void unspread(const T *v, Int apart, T *d, Int line, Int c) {
        auto row = [&](int i, auto at) INLINE {
            const V v0 = at(0), v1 = at(1), v2 = at(2), v3 = at(3);
            const V sums[4] = {v0, v1 - v2 + v3, v1 + v2 - v0, -v3};
            for (int j = 0; j < 4; j++) store(d + i * line + j * c, load(d + i * line + j * c) + sums[j]);
        };
        auto in = [&](int i, int j) INLINE { return load(v + (4 * i + j) * apart); };
        row(0, [&](int j) INLINE { return in(0, j); });
        row(1, [&](int j) INLINE { return in(1, j) - in(2, j) + in(3, j); });
        row(2, [&](int j) INLINE { return in(1, j) + in(2, j) - in(0, j); });
        row(3, [&](int j) INLINE { return -in(3, j); });
    }

    // Y = A' m A of one tile and one vector of channels; gives put(row, column, value).
    template <int K, class Put> INLINE static inline void gather(const T *m, Int apart, Put put) {
        constexpr int FROM = K == 1, TO = 4 - FROM;
        V top[4], bottom[4];
        auto in = [&](int i, int j) INLINE { return load(m + (4 * i + j) * apart); };
#pragma GCC unroll 4
        for (int j = FROM; j < TO; j++) {
            const V m1 = in(1, j), m2 = in(2, j);
            top[j] = K == 1 ? m1 + m2 : in(0, j) + m1 + m2;
            bottom[j] = K == 1 ? m1 - m2 : m1 - m2 - in(3, j);
        }
        auto row = [&](int i, const V *r) INLINE {
            put(i, 0, K == 1 ? r[1] + r[2] : r[0] + r[1] + r[2]);
            put(i, 1, K == 1 ? r[1] - r[2] : r[1] - r[2] - r[3]);
        };
        row(0, top), row(1, bottom);
    }

    // s = A y A', the transpose of `gather`.
    template <int K> INLINE static inline void ungather(V y00, V y01, V y10, V y11, T *s, Int apart) {
        auto row = [&](int i, V y0, V y1) INLINE {
            T *to = s + 4 * i * apart;
            if constexpr (K == 3) store(to, y0), store(to + 3 * apart, -y1);
            store(to + apart, y0 + y1), store(to + 2 * apart, y0 - y1);
        };
        if constexpr (K == 3) row(0, y00, y01), row(3, -y10, -y11);
        row(1, y00 + y10, y01 + y11), row(2, y00 - y10, y01 - y11);
    }

    // G g of three taps.
    struct Four {
        V at[4];
        Four(V g0, V g1, V g2) : at{g0, (g0 + g2 + g1) / 2, (g0 + g2 - g1) / 2, g2} {}
    };

    // G' u of four places.
    struct Three {
        V at[3];
        Three(V u0, V u1, V u2, V u3) : at{u0 + (u1 + u2) / 2, (u1 - u2) / 2, (u1 + u2) / 2 + u3} {}
    };

    // G g G' for each pair of channels, g being (C, C, k, k): (16, C, C), output channels first or last.
    static std::vector<T> kernels(const T *g, Int c, Int kernel, bool first) {
        const Int size = c * c, taps = kernel * kernel;
        std::vector<T> result(PLACES * size), row(9 * c, T(0));
        T *middle = &row[kernel == 1 ? 4 * c : 0];
        for (Int a = 0; a < c; a++) {
            for (Int b = 0; b < c; b++)
                for (Int t = 0; t < taps; t++) middle[t * c + b] = g[(first ? a * c + b : b * c + a) * taps + t];
            for (Int b = 0; b < c; b += L) {
                auto tap = [&](int i, int j) { return load(&row[(3 * i + j) * c + b]); };
                const Four columns[3] = {{tap(0, 0), tap(1, 0), tap(2, 0)}, {tap(0, 1), tap(1, 1), tap(2, 1)},
                                         {tap(0, 2), tap(1, 2), tap(2, 2)}};
                for (int i = 0; i < 4; i++) {
                    const Four places(columns[0].at[i], columns[1].at[i], columns[2].at[i]);
                    for (int j = 0; j < 4; j++) store(&result[(4 * i + j) * size + a * c + b], places.at[j]);
                }
            }
        }
        return result;
    }

    // g += G' u G for each pair of channels, the transpose of `kernels`; u is (16, C, C), output channels first.
    static void unkernels(const T *u, Int c, Int kernel, T *g) {
        const Int size = c * c;
        for (Int k = 0; k < size; k += L) {
            auto at = [&](int i, int j) { return load(u + (4 * i + j) * size + k); };
            auto column = [&](int j) { return Three(at(0, j), at(1, j), at(2, j), at(3, j)); };
            const Three columns[4] = {column(0), column(1), column(2), column(3)};
            for (int i = 0; i < 3; i++) {
                const Three taps(columns[0].at[i], columns[1].at[i], columns[2].at[i], columns[3].at[i]);
                for (int j = 0; j < 3; j++)
                    for (Int l = 0; l < L; l++)
                        if (kernel == 3)
                            g[9 * (k + l) + 3 * i + j] += taps.at[j][l];
                        else if (i == 1 && j == 1)
                            g[k + l] += taps.at[j][l];
            }
        }
    }
};

} // namespace
