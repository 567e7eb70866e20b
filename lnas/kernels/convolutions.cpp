// The mixed convolutions of an edge on a CPU; lnas/kernels/convolutions.py says what they compute.
//
// Images lie in memory as (N, H, W, C). A block is normalise(pointwise(depthwise(relu(x)))), where x may
// itself be normalised first, on the fly. What is kept of a block is the pointwise result z and its moments;
// all else is computed again, row by row, in the first-level cache. Images are shared out over threads, and
// moments and sums are combined image by image, so that they do not depend on the number of threads.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <type_traits>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

#define INLINE __attribute__((always_inline))

namespace {

using Int = int64_t;

// A block and all that it reads and writes; the same structure stands in convolutions.py.
struct Block {
    Int n, h, w, c, kernel, dilation, stride;
    double eps, gate;
    const void *x;             // input, (N, H, W, C)
    const double *in;          // its moments if it is to be normalised
    const void *dw, *pw;       // (C, 1, k, k), (C, C)
    void *z;                   // pointwise result, (N, H', W', C)
    double *moments;           // its mean, 1 / standard deviation and biased variance, (3, C)
    const void *g;             // gradient behind the block
    const void *factors;       // factors of the images, (N)
    const double *sums;        // of g and g * normalise(z), (2, C)
    void *grad_x;              // gradient of the input, if it is asked for
    Int add;                   // whether it is added to what is there
    double *in_sums;           // sums of it and of it * normalise(x), (2, C)
    void *grad_dw, *grad_pw;   // gradients of the weights, if they are asked for

    Int pad() const { return dilation * (kernel - 1) / 2; }
    Int out_h() const { return (h + stride - 1) / stride; }
    Int out_w() const { return (w + stride - 1) / stride; }
    Int image() const { return h * w * c; }
    Int out_image() const { return out_h() * out_w() * c; }
    template <class T> static T *at(const void *images, Int place) { return static_cast<T *>(const_cast<void *>(images)) + place; }
};

// Mean, 1 / standard deviation, biased variance of each channel.
struct Moments {
    const double *mean, *rstd;
    Moments(const double *p, Int c) : mean(p), rstd(p ? p + c : nullptr) {}
};

template <class Body> void over_images(Int n, Int threads, Body body) {
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
    {
        Int of = omp_get_num_threads(), me = omp_get_thread_num();
        body(me, me * n / of, (me + 1) * n / of);
    }
#else
    body(0, 0, n);
#endif
}

template <class T, int BYTES> struct Kernels {
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

    // Calls block(row, column, rows, vectors of columns) for tiles that fill registers.
    template <class Tile> INLINE static inline void tiles(Int rows, Int columns, const Tile &block) {
        auto down = [&](Int column, auto width) INLINE {
            Int row = 0;
            for (; row + 6 <= rows; row += 6) block(row, column, std::integral_constant<int, 6>(), width);
            for (; row + 4 <= rows; row += 4) block(row, column, std::integral_constant<int, 4>(), width);
            for (; row + 2 <= rows; row += 2) block(row, column, std::integral_constant<int, 2>(), width);
            for (; row < rows; row++) block(row, column, std::integral_constant<int, 1>(), width);
        };
        Int column = 0;
        for (; column + 2 * L <= columns; column += 2 * L) down(column, std::integral_constant<int, 2>());
        for (; column < columns; column += L) down(column, std::integral_constant<int, 1>());
    }

    // out[p, o] = sum_i in[p, i] * w[i, o]
    static void pointwise(const T *in, const T *w, Int c, T *out, Int pixels) {
        auto block = [&](Int p, Int o, auto rows, auto columns) INLINE {
            constexpr int R = decltype(rows)::value, C = decltype(columns)::value;
            V acc[R][C] = {};
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

    // The input of blocks, normalised where asked for, rectified, with a border of zeros.
    struct Input {
        std::vector<T> scale, shift, padded;
        Int c, w, h, border = 0, line = 0;

        explicit Input(const Block &k) : c(k.c), w(k.w), h(k.h) {
            if (!k.in) return;
            Moments m(k.in, c);
            for (Int i = 0; i < c; i++) {
                scale.push_back(T(m.rstd[i]));
                shift.push_back(T(-m.mean[i] * m.rstd[i]));
            }
        }

        void widen(Int pad) {
            border = std::max(border, pad);
            line = (w + 2 * border) * c;
        }

        V value(const T *x, Int cv) const {
            const V v = load(x);
            return scale.empty() ? v : v * load(&scale[cv]) + load(&shift[cv]);
        }

        void fill(const T *x) {
            padded.resize((h + 2 * border) * line, T(0)); // the border is never written
            for (Int y = 0; y < h; y++)
                for (Int i = 0; i < w; i++)
                    for (Int cv = 0; cv < c; cv += L)
                        store(&padded[(y + border) * line + (i + border) * c + cv],
                              rectify(value(x + (y * w + i) * c + cv, cv)));
        }

        // The first tap of the first output of row y of a block.
        const T *row(const Block &k, Int y) const {
            const Int away = border - k.pad();
            return &padded[(y * k.stride + away) * line + away * c];
        }
    };

    // One input for all blocks that read the same images.
    struct Inputs {
        std::vector<Input> inputs;
        std::vector<Int> of;

        Inputs(const Block *blocks, Int count) {
            for (Int k = 0; k < count; k++) {
                Int same = 0;
                while (same < k && (blocks[same].x != blocks[k].x || blocks[same].in != blocks[k].in)) same++;
                of.push_back(same < k ? of[same] : Int(inputs.size()));
                if (same == k) inputs.emplace_back(blocks[k]);
                inputs[of[k]].widen(blocks[k].pad());
            }
        }

        Input &operator[](Int k) { return inputs[of[k]]; }

        void fill(const Block *blocks, Int count, Int image) {
            for (Int k = 0; k < count; k++)
                if (k == 0 || of[k] > *std::max_element(of.begin(), of.begin() + k))
                    (*this)[k].fill(Block::at<T>(blocks[k].x, image * blocks[k].image()));
        }
    };

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

    static std::vector<T> taps(const T *w, Int c, Int k, bool flipped) { // (C, k, k) as (k, k, C)
        std::vector<T> result(c * k * k);
        for (Int i = 0; i < c; i++)
            for (Int t = 0; t < k * k; t++) result[(flipped ? k * k - 1 - t : t) * c + i] = w[i * k * k + t];
        return result;
    }

    static std::vector<T> transposed(const T *w, Int c) {
        std::vector<T> result(c * c);
        for (Int o = 0; o < c; o++)
            for (Int i = 0; i < c; i++) result[i * c + o] = w[o * c + i];
        return result;
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
                depthwise<K>(input.row(k, y), input.line, c, kernel.data(), k.dilation, k.stride, d, wo);
                pointwise(d, matrix.data(), c, row, wo);
                add_row(row, c, wo, y, &parts[2 * n * c], &parts[(2 * n + 1) * c]);
            }
        }

        void finish() const {
            const Int c = k.c;
            double *mean = k.moments, *rstd = mean + c, *variance = rstd + c;
            const double pixels = k.out_h() * k.out_w();
            for (Int i = 0; i < c; i++) {
                mean[i] = variance[i] = 0.0;
                for (Int n = 0; n < k.n; n++)
                    combine(parts[2 * n * c + i], parts[(2 * n + 1) * c + i], pixels, n * pixels, mean[i], variance[i]);
                variance[i] /= k.n * pixels;
                rstd[i] = 1.0 / std::sqrt(variance[i] + k.eps);
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
                        scale[k * c + i] = T(gate * m.rstd[i]);
                        shift[i] += T(-gate * m.rstd[i] * m.mean[i]);
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

    static void total(const std::vector<double> &parts, Int n, Int size, double *result) {
        std::fill(result, result + size, 0.0);
        for (Int image = 0; image < n; image++)
            for (Int i = 0; i < size; i++) result[i] += parts[image * size + i];
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
            Moments m(k.moments, k.c), input(k.in, k.c);
            for (Int i = 0; i < k.c; i++) {
                const double slope = k.gate * m.rstd[i], along = m.rstd[i] * k.sums[k.c + i] / size;
                a.push_back(T(slope));
                b.push_back(T(-slope * along));
                e.push_back(T(-slope * (k.sums[i] / size - m.mean[i] * along)));
                if (k.in) input_mean.push_back(T(input.mean[i]));
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
                pointwise(s.dz.data(), Block::at<T>(k.pw, 0), c, dd_row, wo);
                if (!k.grad_dw) continue;
                const T *u = input.row(k, y);
                depthwise<K>(u, input.line, c, kernel.data(), k.dilation, k.stride, s.d.data(), wo);
                pointwise_weight(s.d.data(), s.dz.data(), c, pws[me].data(), wo);
                depthwise_weight<K>(u, input.line, c, dd_row, k.dilation, k.stride, dws[me].data(), wo);
            }
            if (!k.grad_x) return;
            if (strided) {
                s.du.assign((k.h + 2 * pad) * line, T(0));
                for (Int y = 0; y < k.out_h(); y++)
                    scatter<K>(inner + y * own_line, line, c, kernel.data(), k.dilation, k.stride,
                               &s.du[y * k.stride * line], wo);
            }
            for (Int y = 0; y < k.h; y++) {
                const T *from = s.row.data();
                if (strided)
                    from = &s.du[(y + pad) * line + pad * c];
                else
                    depthwise<K>(&s.dd[y * line], line, c, flipped.data(), k.dilation, 1, s.row.data(), k.w);
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

#ifdef __AVX512F__
constexpr int WIDEST = 64;
#else
constexpr int WIDEST = 32;
#endif

// Calls body with the kernels whose vectors are the widest that divide the channels.
template <class T, class Body> void with_vectors(Int channels, Body body) {
    const Int bytes = channels * Int(sizeof(T));
    if (WIDEST == 64 && bytes % 64 == 0)
        body(Kernels<T, WIDEST>());
    else if (bytes % 32 == 0)
        body(Kernels<T, 32>());
    else
        body(Kernels<T, 16>());
}

template <class Body> void dispatch(int is_double, Int channels, Body body) {
    if (is_double)
        with_vectors<double>(channels, [&](auto kernels) { body(kernels, double()); });
    else
        with_vectors<float>(channels, [&](auto kernels) { body(kernels, float()); });
}

} // namespace

extern "C" {

void blocks_forward(int is_double, const Block *blocks, Int count, Int threads) {
    dispatch(is_double, blocks->c, [&](auto kernels, auto) { decltype(kernels)::forward(blocks, count, threads); });
}

void blocks_backward(int is_double, const Block *blocks, Int count, Int threads) {
    dispatch(is_double, blocks->c, [&](auto kernels, auto) { decltype(kernels)::backward(blocks, count, threads); });
}

void mix(int is_double, Int n, Int pixels, Int c, Int count, const void *const *z, const double *const *moments,
         const void *gates, const void *factors, void *out, Int threads) {
    dispatch(is_double, c, [&](auto kernels, auto zero) {
        using T = decltype(zero);
        decltype(kernels)::mix(n, pixels, c, count, (const T *const *)z, moments, (const T *)gates,
                               (const T *)factors, (T *)out, threads);
    });
}

void mix_sums(int is_double, Int n, Int pixels, Int c, Int count, const void *g, const void *const *z,
              const double *const *moments, const void *factors, double *sums, Int threads) {
    dispatch(is_double, c, [&](auto kernels, auto zero) {
        using T = decltype(zero);
        decltype(kernels)::sums(n, pixels, c, count, (const T *)g, (const T *const *)z, moments, (const T *)factors,
                                sums, threads);
    });
}
}
