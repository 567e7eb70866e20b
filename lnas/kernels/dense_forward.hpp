// Forward: dense convolutions of a state with their moments, and the weighted sums of all terms of its edges.

#pragma once

#include "dense.hpp"
#include "forward.hpp"

namespace {

template <class T, int BYTES> struct DenseForward : Tiled<T, BYTES> {
    using W = Winograd<T, BYTES>;
    using V = typename W::V;
    using Moving = ForwardPass<T, BYTES>;
    static constexpr Int L = W::L;
    using W::load, W::store;
    using typename Tiled<T, BYTES>::Spread;
    using Tiled<T, BYTES>::average, Tiled<T, BYTES>::pools, Tiled<T, BYTES>::IS_DOUBLE;

    // Sums over a piece of what z is away from its first value, exact where the mean is large.
    struct Away {
        std::vector<T> first, sum, square;

        explicit Away(Int c) : first(c), sum(c), square(c) {}

        // Mean, and the sum of squares around it.
        void moments(double pixels, double *mean, double *squares) const {
            for (size_t i = 0; i < first.size(); i++) {
                mean[i] = first[i] + sum[i] / pixels;
                squares[i] = square[i] - double(sum[i]) * sum[i] / pixels;
            }
        }
    };

    // z of a piece from its products.
    template <int K> static void gather(const State &s, const Cut &cut, const Piece &p, const T *m, void *z, Away &away) {
        const Int c = s.c, apart = cut.apart<T>();
        std::fill(away.sum.begin(), away.sum.end(), T(0)), std::fill(away.square.begin(), away.square.end(), T(0));
        cut.over_tiles(p, [&](Int tile, Int image, Int r, Int q) INLINE {
            const Int y = 2 * (p.row + r), x = 2 * q;
            T *to = const_cast<T *>(s.rows<T>(z, p.image + image, y)) + x * c;
            const bool below = y + 1 < s.h, right = x + 1 < s.w;
            for (Int cv = 0; cv < c; cv += L) {
                V first = load(&away.first[cv]), sum = load(&away.sum[cv]), square = load(&away.square[cv]);
                W::template gather<K>(m + tile * c + cv, apart, [&](int i, int j, V value) INLINE {
                    if (!tile && !i && !j) store(&away.first[cv], first = value);
                    if ((i && !below) || (j && !right)) return;
                    T *place = to + (i * s.w + j) * c + cv;
                    store(place, value);
                    __builtin_prefetch(place + 2 * s.w * c, 1); // of the tile below
                    const V distance = value - first;
                    sum += distance, square += distance * distance;
                });
                store(&away.sum[cv], sum), store(&away.square[cv], square);
            }
        });
    }

    // All convolutions, and the mean, 1 / standard deviation and biased variance of each.
    static void convolve(const State &s, Int threads) {
        const Cut cut(s);
        const Int c = s.c, apart = cut.apart<T>(), groups = cut.groups(), count = groups * cut.pieces();
        std::vector<std::vector<T>> kernels;
        for (Int k = 0; k < s.dense_count; k++) {
            const Dense &d = s.dense[k];
            kernels.push_back(W::kernels(static_cast<const T *>(d.weight), c, d.kernel, false));
        }
        std::vector<double> parts(s.dense_count * count * 2 * c, 0.0);
        over_images(groups, threads, [&](Int, Int from, Int to) {
            Spread spread(cut);
            std::vector<T> products(W::PLACES * apart);
            Away away(c);
            for (Int group = from; group < to; group++)
                cut.over_pieces(group, [&](const Piece &p) {
                    spread.fill(s, cut, p);
                    for (Int k = 0; k < s.dense_count; k++) {
                        const Dense &d = s.dense[k];
                        W::places(d.kernel, [&](int at) {
                            W::pointwise(&spread.v[at * apart], &kernels[k][at * c * c], c, &products[at * apart],
                                         p.images * p.rows * cut.across);
                        });
                        if (d.kernel == 1)
                            gather<1>(s, cut, p, products.data(), d.z, away);
                        else
                            gather<3>(s, cut, p, products.data(), d.z, away);
                        double *own = &parts[(k * count + p.index) * 2 * c];
                        away.moments(cut.pixels(p), own, own + c);
                    }
                });
        });
        for (Int k = 0; k < s.dense_count; k++) finish(s, cut, s.dense[k], &parts[k * count * 2 * c]);
    }

    static void finish(const State &s, const Cut &cut, const Dense &d, const double *parts) {
        const Int c = s.c;
        double *mean = d.moments, *rstd = mean + c, *variance = rstd + c, before = 0.0;
        std::fill(mean, mean + 3 * c, 0.0);
        for (Int group = 0; group < cut.groups(); group++)
            cut.over_pieces(group, [&](const Piece &p) {
                const double *own = parts + p.index * 2 * c, pixels = cut.pixels(p);
                for (Int i = 0; i < c; i++) Moving::combine(own[i], own[c + i], pixels, before, mean[i], variance[i]);
                before += pixels;
            });
        for (Int i = 0; i < c; i++) {
            variance[i] /= before;
            rstd[i] = 1.0 / std::sqrt(variance[i] + d.eps);
        }
    }

    // What is summed up on one edge: scale * images, for each channel, and a shift.
    struct Sum {
        std::vector<const T *> images;
        std::vector<T> scale, shift;

        Sum(const State &s, const Edge &e, Int n, const T *averages) : shift(s.c, T(0)) {
            for (Int k = e.first; k < e.first + e.count; k++) {
                const Dense &d = s.dense[k];
                const double *mean = d.moments, *rstd = mean + s.c;
                const double gate = d.gate * factor(d.factors, IS_DOUBLE, n);
                images.push_back(s.rows<T>(d.z, n, 0));
                for (Int i = 0; i < s.c; i++) {
                    scale.push_back(T(gate * rstd[i]));
                    shift[i] += T(-gate * rstd[i] * mean[i]);
                }
            }
            auto add = [&](const T *from, double gate) {
                images.push_back(from);
                scale.resize(scale.size() + s.c, T(gate));
            };
            if (e.skips) add(s.rows<T>(s.x, n, 0), e.skip * factor(e.skip_factors, IS_DOUBLE, n));
            if (e.before) add(s.rows<T>(e.before, n, 0), 1.0);
            if (e.pools) add(averages, e.pool * factor(e.pool_factors, IS_DOUBLE, n));
        }

        // One row; a pixel at a time, since images that lie alike in memory compete for the same cache sets.
        void write(Int c, Int width, T *out) const {
            const Int count = images.size();
            for (Int p = 0; p < width * c; p += c)
                for (Int cv = 0; cv < c; cv += L) {
                    V sum = load(&shift[cv]);
                    for (Int k = 0; k < count; k++) sum += load(&scale[k * c + cv]) * load(images[k] + p + cv);
                    store(out + p + cv, sum);
                }
        }

        void advance(Int elements, bool pools) {
            for (size_t k = 0; k + pools < images.size(); k++) images[k] += elements; // averages are of one row
        }
    };

    static void mix(const State &s, Int threads) {
        const Int width = s.w * s.c;
        const bool pooled = pools(s);
        over_images(s.n, threads, [&](Int, Int from, Int to) {
            std::vector<T> sums(width + 2 * s.c), averages(width);
            for (Int n = from; n < to; n++) {
                std::vector<Sum> edges;
                for (Int e = 0; e < s.edge_count; e++) edges.emplace_back(s, s.edges[e], n, averages.data());
                for (Int y = 0; y < s.h; y++) {
                    if (pooled) average(s, n, y, sums.data(), averages.data());
                    for (Int e = 0; e < s.edge_count; e++) {
                        edges[e].write(s.c, s.w, const_cast<T *>(s.rows<T>(s.edges[e].out, n, y)));
                        edges[e].advance(width, s.edges[e].pools);
                    }
                }
            }
        });
    }
};

} // namespace
