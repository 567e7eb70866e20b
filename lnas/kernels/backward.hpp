// Backward: the gradients of blocks. What is between their ends is computed again, row by row.

#pragma once

#include "blocks.hpp"

namespace {

template <class T, int BYTES> struct BackwardPass : Images<T, BYTES> {
    using P = Products<T, BYTES>;
    using V = typename P::V;
    static constexpr Int L = P::L;
    using P::load, P::store;
    using typename Images<T, BYTES>::Input, typename Images<T, BYTES>::Inputs;
    using Images<T, BYTES>::taps;

    // sums[k] = (sum of factor * g, sum of factor * g * normalise(z[k])) for each channel
    static void sums(Int n, Int pixels, Int c, Int count, const T *g, const T *const *z, const double *const *moments,
                     const T *factors, double *result, Int threads) {
        std::vector<double> parts(n * count * 2 * c);
        over_images(n, threads, [&](Int, Int from, Int to) {
            for (Int image = from; image < to; image++)
                for (Int k = 0; k < count; k++) {
                    Moments m(moments[k], c);
                    const double factor = factors ? double(factors[k * n + image]) : 1.0;
                    double *own = &parts[(image * count + k) * 2 * c];
                    for (Int cv = 0; cv < c; cv += L) {
                        V plain = {}, product = {}, mean;
                        for (Int l = 0; l < L; l++) mean[l] = T(m.mean[cv + l]);
                        for (Int p = image * pixels; p < (image + 1) * pixels; p++) {
                            const V gv = load(g + p * c + cv);
                            plain += gv;
                            product += gv * (load(z[k] + p * c + cv) - mean);
                        }
                        for (Int l = 0; l < L; l++) {
                            own[cv + l] = factor * plain[l];
                            own[c + cv + l] = factor * product[l] * m.rstd[cv + l];
                        }
                    }
                }
        });
        total(parts, n, count * 2 * c, result);
    }

    // Space of one thread.
    struct Scratch {
        std::vector<T> d, dz, row, dd, du;
    };

    struct Backward {
        const Block &k;
        std::vector<T> kernel, flipped, a, b, e, input_mean;
        std::vector<double> parts;
        std::vector<std::vector<T>> dws, pws;

        Backward(const Block &k, Int threads)
            : k(k), kernel(taps(Block::at<T>(k.dw, 0), k.c, k.kernel, false)),
              flipped(taps(Block::at<T>(k.dw, 0), k.c, k.kernel, true)),
              parts(k.in_sums ? k.n * 2 * k.c : 0, 0.0), dws(threads), pws(threads) {
            // d z = factor * a * g + b * z + e: the derivative of gate * normalise(z).
            const double size = double(k.n) * k.out_h() * k.out_w();
            Moments m(k.moments, k.c);
            for (Int i = 0; i < k.c; i++) {
                const double slope = k.gate * m.slope[i], along = m.rstd[i] * k.sums[k.c + i] / size;
                a.push_back(T(slope));
                b.push_back(T(-slope * along));
                e.push_back(T(-slope * (k.sums[i] / size - m.mean[i] * along)));
                if (k.in) input_mean.push_back(T(Moments(k.in, k.c).mean[i]));
            }
        }

        void begin(Int me) {
            if (!k.grad_dw) return;
            dws[me].assign(k.kernel * k.kernel * k.c, T(0));
            pws[me].assign(k.c * k.c, T(0));
        }

        template <int K> void run(const Input &input, Int n, Int me, Scratch &s) {
            const Int wo = k.out_w(), c = k.c, pad = k.pad(), line = (k.w + 2 * pad) * c;
            const bool strided = k.stride != 1;
            const Int own_line = strided ? wo * c : line;
            // Behind the depthwise convolution; with a border, unless that has a stride.
            s.dz.resize(wo * c), s.d.resize(wo * c), s.row.resize(k.w * c);
            s.dd.assign(strided ? k.out_image() : (k.h + 2 * pad) * line, T(0));
            T *inner = s.dd.data() + (strided ? 0 : pad * line + pad * c);
            const T *g = Block::at<T>(k.g, n * k.out_image()), *z = Block::at<T>(k.z, n * k.out_image());
            const V factor = V{} + (k.factors ? *Block::at<T>(k.factors, n) : T(1));
            for (Int y = 0; y < k.out_h(); y++) {
                for (Int i = 0; i < wo; i++)
                    for (Int cv = 0; cv < c; cv += L) {
                        const Int place = (y * wo + i) * c + cv;
                        store(&s.dz[i * c + cv],
                              factor * load(&a[cv]) * load(g + place) + (load(&b[cv]) * load(z + place) + load(&e[cv])));
                    }
                T *dd_row = inner + y * own_line;
                P::pointwise(s.dz.data(), Block::at<T>(k.pw, 0), c, dd_row, wo);
                if (!k.grad_dw) continue;
                const T *u = input.row(k, y);
                P::template depthwise<K>(u, input.line, c, kernel.data(), k.dilation, k.stride, s.d.data(), wo);
                P::pointwise_weight(s.d.data(), s.dz.data(), c, pws[me].data(), wo);
                P::template depthwise_weight<K>(u, input.line, c, dd_row, k.dilation, k.stride, dws[me].data(), wo);
            }
            if (!k.grad_x) return;
            if (strided) {
                s.du.assign((k.h + 2 * pad) * line, T(0));
                for (Int y = 0; y < k.out_h(); y++)
                    P::template scatter<K>(inner + y * own_line, line, c, kernel.data(), k.dilation, k.stride,
                               &s.du[y * k.stride * line], wo);
            }
            for (Int y = 0; y < k.h; y++) {
                const T *from = s.row.data();
                if (strided)
                    from = &s.du[(y + pad) * line + pad * c];
                else
                    P::template depthwise<K>(&s.dd[y * line], line, c, flipped.data(), k.dilation, 1, s.row.data(), k.w);
                through_relu(input, from, n, y);
            }
        }

        // Hands one row of gradients through ReLU and sums it up for the normalisation before.
        void through_relu(const Input &input, const T *from, Int n, Int y) {
            const Int c = k.c, place = n * k.image() + y * k.w * c;
            const T *x = Block::at<T>(k.x, place);
            T *to = Block::at<T>(k.grad_x, place);
            for (Int cv = 0; cv < c; cv += L) {
                V plain = {}, product = {};
                for (Int i = 0; i < k.w; i++) {
                    const Int at = i * c + cv;
                    V value = input.value(x + at, cv) > V{} ? load(from + at) : V{};
                    if (k.in_sums) {
                        plain += value;
                        product += value * (load(x + at) - load(&input_mean[cv]));
                    }
                    if (k.add) value += load(to + at);
                    store(to + at, value);
                }
                if (k.in_sums)
                    for (Int l = 0; l < L; l++) {
                        parts[2 * n * c + cv + l] += plain[l];
                        parts[(2 * n + 1) * c + cv + l] += product[l] * k.in[c + cv + l];
                    }
            }
        }

        void finish() const {
            const Int c = k.c, size = k.kernel * k.kernel;
            if (k.in_sums) total(parts, k.n, 2 * c, k.in_sums);
            if (!k.grad_dw) return;
            T *of_dw = Block::at<T>(k.grad_dw, 0), *of_pw = Block::at<T>(k.grad_pw, 0);
            std::fill(of_dw, of_dw + c * size, T(0));
            std::fill(of_pw, of_pw + c * c, T(0));
            for (size_t t = 0; t < dws.size() && !dws[t].empty(); t++) {
                for (Int i = 0; i < c; i++)
                    for (Int tap = 0; tap < size; tap++) of_dw[i * size + tap] += dws[t][tap * c + i];
                for (Int i = 0; i < c * c; i++) of_pw[i] += pws[t][i];
            }
        }
    };

    static void backward(const Block *blocks, Int count, Int threads) {
        std::vector<Backward> passes;
        bool weights = false;
        for (Int k = 0; k < count; k++) {
            passes.emplace_back(blocks[k], threads);
            weights |= blocks[k].grad_dw != nullptr;
        }
        over_images(blocks->n, threads, [&](Int me, Int from, Int to) {
            Inputs inputs(blocks, count);
            Scratch scratch;
            for (auto &pass : passes) pass.begin(me);
            for (Int n = from; n < to; n++) {
                if (weights) inputs.fill(blocks, count, n);
                for (Int k = 0; k < count; k++)
                    if (blocks[k].kernel == 3)
                        passes[k].template run<3>(inputs[k], n, me, scratch);
                    else
                        passes[k].template run<5>(inputs[k], n, me, scratch);
            }
        });
        for (const auto &pass : passes) pass.finish();
    }
};

} // namespace
