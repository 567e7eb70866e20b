// Forward: blocks, and the weighted sum of what they give.

#pragma once

#include <cmath>

#include "blocks.hpp"

namespace {

template <class T, int BYTES> struct ForwardPass : Images<T, BYTES> {
    using P = Products<T, BYTES>;
    using V = typename P::V;
    static constexpr Int L = P::L;
    using P::load, P::store;
    using typename Images<T, BYTES>::Input, typename Images<T, BYTES>::Inputs;
    using Images<T, BYTES>::taps, Images<T, BYTES>::transposed;

    // Moments of an image after another row (Chan, Golub, LeVeque), exact where the mean is large.
    static void add_row(const T *z, Int c, Int width, Int row, double *mean, double *squares) {
        for (Int cv = 0; cv < c; cv += L) {
            V sum = {}, square = {};
            for (Int x = 0; x < width; x++) sum += load(z + x * c + cv);
            const V middle = sum / T(width);
            for (Int x = 0; x < width; x++) {
                const V away = load(z + x * c + cv) - middle;
                square += away * away;
            }
            for (Int l = 0; l < L; l++) combine(middle[l], square[l], width, width * row, mean[cv + l], squares[cv + l]);
        }
    }

    static void combine(double mean, double squares, double count, double before, double &to, double &to_squares) {
        const double away = mean - to, whole = before + count;
        to += away * count / whole;
        to_squares += squares + away * away * before * count / whole;
    }

    // What a block does with an image, in one thread.
    struct Forward {
        const Block &k;
        std::vector<T> kernel, matrix, d;
        std::vector<double> parts;

        explicit Forward(const Block &k)
            : k(k), kernel(taps(Block::at<T>(k.dw, 0), k.c, k.kernel, false)),
              matrix(transposed(Block::at<T>(k.pw, 0), k.c)), parts(k.n * 2 * k.c, 0.0) {}

        template <int K> void run(const Input &input, Int n, T *d) {
            const Int wo = k.out_w(), c = k.c;
            for (Int y = 0; y < k.out_h(); y++) {
                T *row = Block::at<T>(k.z, n * k.out_image() + y * wo * c);
                P::template depthwise<K>(input.row(k, y), input.line, c, kernel.data(), k.dilation, k.stride, d, wo);
                P::pointwise(d, matrix.data(), c, row, wo);
                add_row(row, c, wo, y, &parts[2 * n * c], &parts[(2 * n + 1) * c]);
            }
        }

        void finish() const {
            const Int c = k.c;
            const T *scale = Block::at<T>(k.scale, 0), *shift = Block::at<T>(k.shift, 0);
            double *mean = k.moments, *rstd = mean + c, *variance = rstd + c, *slope = variance + c, *offset = slope + c;
            const double pixels = k.out_h() * k.out_w();
            for (Int i = 0; i < c; i++) {
                mean[i] = variance[i] = 0.0;
                for (Int n = 0; n < k.n; n++)
                    combine(parts[2 * n * c + i], parts[(2 * n + 1) * c + i], pixels, n * pixels, mean[i], variance[i]);
                variance[i] /= k.n * pixels;
                rstd[i] = 1.0 / std::sqrt(variance[i] + k.eps);
                slope[i] = scale ? double(scale[i]) * rstd[i] : rstd[i];
                offset[i] = (shift ? double(shift[i]) : 0.0) - mean[i] * slope[i];
            }
        }
    };

    static void forward(const Block *blocks, Int count, Int threads) {
        std::vector<Forward> passes(blocks, blocks + count);
        over_images(blocks->n, threads, [&](Int, Int from, Int to) {
            Inputs inputs(blocks, count);
            std::vector<T> d(blocks->w * blocks->c);
            for (Int n = from; n < to; n++) {
                inputs.fill(blocks, count, n);
                for (Int k = 0; k < count; k++)
                    if (blocks[k].kernel == 3)
                        passes[k].template run<3>(inputs[k], n, d.data());
                    else
                        passes[k].template run<5>(inputs[k], n, d.data());
            }
        });
        for (const auto &pass : passes) pass.finish();
    }

    // out = sum_k factor[k, n] * gate[k] * normalise(z[k])
    static void mix(Int n, Int pixels, Int c, Int count, const T *const *z, const double *const *moments,
                    const T *gates, const T *factors, T *out, Int threads) {
        over_images(n, threads, [&](Int, Int from, Int to) {
            std::vector<T> scale(count * c), shift(c);
            for (Int image = from; image < to; image++) {
                std::fill(shift.begin(), shift.end(), T(0));
                for (Int k = 0; k < count; k++) {
                    Moments m(moments[k], c);
                    const double gate = double(gates[k]) * (factors ? double(factors[k * n + image]) : 1.0);
                    for (Int i = 0; i < c; i++) {
                        scale[k * c + i] = T(gate * m.slope[i]);
                        shift[i] += T(gate * m.offset[i]);
                    }
                }
                for (Int p = image * pixels; p < (image + 1) * pixels; p++)
                    for (Int cv = 0; cv < c; cv += L) {
                        V sum = load(&shift[cv]);
                        for (Int k = 0; k < count; k++) sum += load(&scale[k * c + cv]) * load(z[k] + p * c + cv);
                        store(out + p * c + cv, sum);
                    }
            }
        });
    }
};

} // namespace
