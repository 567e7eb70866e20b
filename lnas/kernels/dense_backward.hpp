// Backward: gradients of the state, the kernels and, as sums, the gates.

#pragma once

#include "dense.hpp"

namespace {

template <class T, int BYTES> struct DenseBackward : Tiled<T, BYTES> {
    using W = Winograd<T, BYTES>;
    using V = typename W::V;
    static constexpr Int L = W::L;
    using W::load, W::store;
    using typename Tiled<T, BYTES>::Spread;
    using Tiled<T, BYTES>::average, Tiled<T, BYTES>::pools, Tiled<T, BYTES>::IS_DOUBLE;
    using Tiled<T, BYTES>::box, Tiled<T, BYTES>::share;

    static double whole(V v) {
        double sum = 0.0;
        for (Int l = 0; l < L; l++) sum += v[l];
        return sum;
    }

    // Sum of a * b of a row.
    static double inner(const T *a, const T *b, Int width) {
        V sum = {};
        for (Int i = 0; i < width; i += L) sum += load(a + i) * load(b + i);
        return whole(sum);
    }

    // to = (sum of g, sum of g * (z - mean)) for each channel of an image.
    static void along(const T *g, const T *z, const T *mean, const State &s, double *to) {
        const Int c = s.c, end = s.image();
        auto channels = [&](Int cv, auto vectors) INLINE {
            constexpr int B = decltype(vectors)::value;
            V sum[B] = {}, product[B] = {};
            for (Int i = cv; i < end; i += c)
                for (int b = 0; b < B; b++) {
                    const V gv = load(g + i + b * L);
                    sum[b] += gv;
                    product[b] += gv * (load(z + i + b * L) - load(mean + cv + b * L));
                }
            for (int b = 0; b < B; b++)
                for (Int l = 0; l < L; l++) to[cv + b * L + l] = sum[b][l], to[c + cv + b * L + l] = product[b][l];
        };
        Int cv = 0;
        for (; cv + 2 * L <= c; cv += 2 * L) channels(cv, std::integral_constant<int, 2>());
        for (; cv < c; cv += L) channels(cv, std::integral_constant<int, 1>());
    }

    // The sums of all convolutions, and of grad * state and grad * average of the edges that ask for them.
    static void sums(const State &s, Int threads) {
        const Int c = s.c, count = s.dense_count, size = count * 2 * c + s.edge_count * 2;
        std::vector<T> means(count * c);
        for (Int k = 0; k < count; k++)
            for (Int i = 0; i < c; i++) means[k * c + i] = T(s.dense[k].moments[i]);
        std::vector<double> parts(s.n * size, 0.0), result(size);
        over_images(s.n, threads, [&](Int, Int from, Int to) {
            for (Int n = from; n < to; n++) {
                double *own = &parts[n * size];
                for (Int e = 0; e < s.edge_count; e++)
                    for (Int k = s.edges[e].first; k < s.edges[e].first + s.edges[e].count; k++) {
                        const Dense &d = s.dense[k];
                        double *plain = own + 2 * k * c, *product = plain + c;
                        along(s.rows<T>(s.edges[e].grad, n, 0), s.rows<T>(d.z, n, 0), &means[k * c], s, plain);
                        const double share = factor(d.factors, IS_DOUBLE, n);
                        for (Int i = 0; i < c; i++) plain[i] *= share, product[i] *= share * d.moments[c + i];
                    }
                products(s, n, own + count * 2 * c);
            }
        });
        total(parts, s.n, size, result.data());
        for (Int k = 0; k < count; k++) std::copy_n(&result[2 * k * c], 2 * c, s.dense[k].sums);
        for (Int e = 0; e < s.edge_count; e++)
            if (s.edges[e].products) std::copy_n(&result[count * 2 * c + 2 * e], 2, s.edges[e].products);
    }

    static void products(const State &s, Int n, double *to) {
        const Int width = s.w * s.c;
        const bool asked = std::any_of(s.edges, s.edges + s.edge_count, [](const Edge &e) { return e.products; });
        if (!asked) return;
        const bool pooled = pools(s);
        std::vector<T> space(width + 2 * s.c), averages(width);
        for (Int y = 0; y < s.h; y++) {
            if (pooled) average(s, n, y, space.data(), averages.data());
            for (Int e = 0; e < s.edge_count; e++) {
                const Edge &edge = s.edges[e];
                const T *g = s.rows<T>(edge.grad, n, y);
                if (edge.skips) to[2 * e] += factor(edge.skip_factors, IS_DOUBLE, n) * inner(g, s.rows<T>(s.x, n, y), width);
                if (edge.pools) to[2 * e + 1] += factor(edge.pool_factors, IS_DOUBLE, n) * inner(g, averages.data(), width);
            }
        }
    }

    // d z = factor * a * g + b * z + e: the derivative of gate * normalise(z).
    struct Slope {
        std::vector<T> a, b, e, kernels;

        Slope(const State &s, const Dense &d) {
            const double size = double(s.n) * s.h * s.w;
            const double *mean = d.moments, *rstd = mean + s.c;
            for (Int i = 0; i < s.c; i++) {
                const double slope = d.gate * rstd[i], along = rstd[i] * d.sums[s.c + i] / size;
                a.push_back(T(slope));
                b.push_back(T(-slope * along));
                e.push_back(T(-slope * (d.sums[i] / size - mean[i] * along)));
            }
            if (s.grad_x) kernels = W::kernels(static_cast<const T *>(d.weight), s.c, d.kernel, true);
        }

        // The gradient behind the convolution, prepared for products.
        template <int K>
        void ungather(const State &s, const Cut &cut, const Piece &p, const Dense &d, const void *grad, T *to) const {
            const Int c = s.c, apart = cut.apart<T>();
            cut.over_tiles(p, [&](Int tile, Int m, Int r, Int q) INLINE {
                const Int y = 2 * (p.row + r), x = 2 * q, n = p.image + m;
                const T *g = s.rows<T>(grad, n, y) + x * c, *z = s.rows<T>(d.z, n, y) + x * c;
                const T share = T(factor(d.factors, IS_DOUBLE, n));
                const bool below = y + 1 < s.h, right = x + 1 < s.w;
                for (Int cv = 0; cv < c; cv += L) {
                    const V av = share * load(&a[cv]), bv = load(&b[cv]), ev = load(&e[cv]);
                    auto at = [&](int i, int j) INLINE {
                        if ((i && !below) || (j && !right)) return V{};
                        const Int place = (i * s.w + j) * c + cv, next = place + 2 * s.w * c;
                        __builtin_prefetch(g + next), __builtin_prefetch(z + next); // of the tile below
                        return av * load(g + place) + (bv * load(z + place) + ev);
                    };
                    W::template ungather<K>(at(0, 0), at(0, 1), at(1, 0), at(1, 1), to + tile * c + cv, apart);
                }
            });
        }
    };

    // What one thread works with.
    struct Scratch {
        Spread spread;
        std::vector<T> gathered, products, inner, pooled, sums, row;

        Scratch(const State &s, const Cut &cut)
            : spread(cut), gathered(W::PLACES * cut.apart<T>()), products(W::PLACES * cut.apart<T>()),
              inner(cut.images * (2 * cut.down + 2) * cut.line()), pooled(s.image()), sums((s.w + 2) * s.c), row(s.w * s.c) {}
    };

    static void backward(const State &s, Int threads) {
        const Cut cut(s);
        const Int c = s.c, apart = cut.apart<T>(), line = cut.line(), height = 2 * cut.down + 2;
        std::vector<Slope> slopes;
        std::vector<std::vector<std::vector<T>>> weights(threads); // by thread and convolution
        bool asked = false;
        for (Int k = 0; k < s.dense_count; k++) {
            slopes.emplace_back(s, s.dense[k]);
            asked |= s.dense[k].grad_weight != nullptr;
        }
        over_images(cut.groups(), threads, [&](Int me, Int from, Int to) {
            Scratch scratch(s, cut);
            auto &own = weights[me];
            for (Int k = 0; k < s.dense_count; k++) own.emplace_back(s.dense[k].grad_weight ? W::PLACES * c * c : 0, T(0));
            for (Int group = from; group < to; group++) {
                std::fill(scratch.inner.begin(), scratch.inner.end(), T(0));
                cut.over_pieces(group, [&](const Piece &p) {
                    if (asked) scratch.spread.fill(s, cut, p);
                    through(s, cut, p, slopes, own, scratch);
                    if (!s.grad_x) return;
                    cut.over_tiles(p, [&](Int tile, Int m, Int r, Int q) INLINE {
                        T *d = &scratch.inner[(m * height + 2 * (p.row + r)) * line + 2 * q * c];
                        for (Int cv = 0; cv < c; cv += L) W::unspread(&scratch.products[tile * c + cv], apart, d + cv, line, c);
                    });
                });
                const Int first = group * cut.images;
                for (Int n = first; s.grad_x && n < std::min(s.n, first + cut.images); n++)
                    join(s, n, &scratch.inner[(n - first) * height * line + line + c], line, scratch);
            }
        });
        for (Int k = 0; k < s.dense_count; k++) {
            if (!s.dense[k].grad_weight) continue;
            const Int side = s.dense[k].kernel;
            T *to = static_cast<T *>(s.dense[k].grad_weight);
            std::fill(to, to + c * c * side * side, T(0));
            for (const auto &own : weights)
                if (!own.empty()) W::unkernels(own[k].data(), c, side, to);
        }
    }

    // Products of a piece: for the gradients of the kernels, and, summed up, for that of the state.
    static void through(const State &s, const Cut &cut, const Piece &p, const std::vector<Slope> &slopes,
                        std::vector<std::vector<T>> &weights, Scratch &scratch) {
        const Int c = s.c, apart = cut.apart<T>(), tiles = p.images * p.rows * cut.across;
        bool begun[W::PLACES] = {};
        for (Int e = 0; e < s.edge_count; e++)
            for (Int k = s.edges[e].first; k < s.edges[e].first + s.edges[e].count; k++) {
                const Dense &d = s.dense[k];
                if (!s.grad_x && !d.grad_weight) continue;
                if (d.kernel == 1)
                    slopes[k].template ungather<1>(s, cut, p, d, s.edges[e].grad, scratch.gathered.data());
                else
                    slopes[k].template ungather<3>(s, cut, p, d, s.edges[e].grad, scratch.gathered.data());
                W::places(d.kernel, [&](int at) {
                    const T *behind = &scratch.gathered[at * apart];
                    if (d.grad_weight)
                        W::pointwise_weight(&scratch.spread.v[at * apart], behind, c, &weights[k][at * c * c], tiles);
                    if (!s.grad_x) return;
                    const T *kernel = &slopes[k].kernels[at * c * c];
                    T *to = &scratch.products[at * apart];
                    if (begun[at])
                        W::template pointwise<true>(behind, kernel, c, to, tiles);
                    else
                        W::pointwise(behind, kernel, c, to, tiles);
                    begun[at] = true;
                });
            }
        for (int at = 0; at < W::PLACES; at++)
            if (!begun[at]) std::fill_n(&scratch.products[at * apart], tiles * c, T(0));
    }

    // Adds gate * grad of edges to a row.
    struct Passed {
        std::vector<const T *> grads;
        std::vector<T> gates;

        void add(const State &s, const Edge &e, Int n, double gate, const void *factors) {
            grads.push_back(s.rows<T>(e.grad, n, 0));
            gates.push_back(T(gate * factor(factors, IS_DOUBLE, n)));
        }

        V at(Int place) const {
            V sum = {};
            for (size_t k = 0; k < grads.size(); k++) sum += gates[k] * load(grads[k] + place);
            return sum;
        }
    };

    // The gradient of a state: of its convolutions through ReLU, of itself, and of its averages.
    static void join(const State &s, Int n, const T *inner, Int line, Scratch &scratch) {
        const Int c = s.c, width = s.w * c;
        Passed skips, pools;
        for (Int e = 0; e < s.edge_count; e++) {
            const Edge &edge = s.edges[e];
            if (edge.skips) skips.add(s, edge, n, edge.skip, edge.skip_factors);
            if (edge.pools) pools.add(s, edge, n, edge.pool, edge.pool_factors);
        }
        const bool pooled = !pools.grads.empty();
        for (Int y = 0; pooled && y < s.h; y++)
            for (Int x = 0; x < s.w; x++)
                for (Int i = y * width + x * c; i < y * width + (x + 1) * c; i += L)
                    store(&scratch.pooled[i], share(s, y, x) * pools.at(i));
        for (Int y = 0; y < s.h; y++) {
            if (pooled) box(scratch.pooled.data(), s, y, scratch.sums.data(), scratch.row.data());
            const T *x = s.rows<T>(s.x, n, y);
            T *to = const_cast<T *>(s.rows<T>(s.grad_x, n, y));
            for (Int i = 0; i < width; i += L) {
                V sum = skips.at(y * width + i) + (load(x + i) > V{} ? load(inner + y * line + i) : V{});
                if (pooled) sum += load(&scratch.row[i]);
                store(to + i, sum);
            }
        }
    }
};

} // namespace
