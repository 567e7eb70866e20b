// The loss of a large vocabulary over the units that dropout leaves each stream; lnas/kernels/words.py says what.
//
// Some streams at a time: their scores stay near from the products that make them to those that read their gradients.
// Words are shared out over threads in chunks, whose rows of the matrix stay in the cache for all of these streams; for
// the features' gradients in a few spans of chunks, whose sums are added up in their order. So no number depends on the
// number of threads.

#include <limits>
#include <vector>

#include "kept.hpp"
#include "room.hpp"

namespace {

// Scores and all that they are made of; the same structure stands in words.py.
struct Words {
    Int steps, streams, units, words;
    double scale;            // of the losses, in the gradients
    const Int *first, *kept; // where the units of each stream begin, and their numbers; the bias's at the end
    const Int *targets;      // (steps, streams)
    const void *features, *weight, *bias;    // (steps, streams, units), (words, units), (words)
    void *of_features, *of_weight, *of_bias; // gradients of the scaled loss if asked for; the last two both, or neither
    double *losses;                          // of each step and stream, (steps, streams)
};

constexpr Int CHUNK = 4; // panels that, with their gradients and a few streams, fit into a second-level cache
constexpr Int SPANS = 16; // of chunks: threads that can share the features' gradients, and parts to be added up
constexpr Int MOST = 8, BYTES = 1 << 24; // streams at a time, and what their scores may take

template <class T, int SIZE> struct Scores : Kept<T, SIZE> {
    using K = Kept<T, SIZE>;
    using V = typename K::V;
    static constexpr Int L = K::L, WIDTH = K::WIDTH;
    using K::load, K::store;

    const Words &all;
    const Int panels, chunks, spans; // how many
    const Int wide, apart;           // steps in whole vectors; numbers of a panel
    Room<T> matrix, of_matrix;             // panels of (units + 1, WIDTH), the last row the bias
    Int together, most = 0;                // streams at a time; the most units that one keeps, with the bias
    // Of the streams at a time: scores as panels of (steps, WIDTH), and parts of the gradients of features from spans;
    // kept features; of each chunk and step the largest score, the sum of powers, and what makes probabilities of them;
    // of each step the score of the right word.
    Room<T> scores, partial;
    std::vector<T> features, largest, scales;
    std::vector<double> sums, right;

    explicit Scores(const Words &k)
        : all(k), panels((k.words + WIDTH - 1) / WIDTH), chunks((panels + CHUNK - 1) / CHUNK), spans(std::min(chunks, SPANS)), wide(K::filled(k.steps)),
          apart((k.units + 1) * WIDTH), matrix(room<T>(panels * apart)), of_matrix(k.of_weight ? room<T>(panels * apart) : nullptr) {
        together = std::clamp<Int>(BYTES / (k.steps * k.words * Int(sizeof(T))), 1, std::min(MOST, k.streams));
        for (Int s = 0; s < k.streams; s++) most = std::max(most, k.first[s + 1] - k.first[s]);
        scores = room<T>(together * k.steps * panels * WIDTH);
        features.resize(together * k.steps * most);
        if (k.of_features) partial = room<T>(spans * together * most * wide);
        for (auto *own : {&largest, &scales}) own->resize(chunks * together * k.steps);
        sums.resize(chunks * together * k.steps);
        right.resize(together * k.steps);
    }

    struct Stream {
        Int number, place, count; // among all, among those at a time; of its units with the bias
        const Int *units;
    };
    struct Chunk {
        Int index, start, end; // of panels
    };
    struct Scratch {
        std::vector<T> panel, turned;
    };

    Stream stream(Int start, Int place) const {
        const Int number = start + place;
        return {number, place, all.first[number + 1] - all.first[number], all.kept + all.first[number]};
    }
    Chunk chunk(Int index) const { return {index, index * CHUNK, std::min((index + 1) * CHUNK, panels)}; }
    T *features_of(const Stream &s) { return &features[s.place * all.steps * most]; }
    T *scores_of(const Stream &s, Int panel) { return &scores[(s.place * panels + panel) * all.steps * WIDTH]; }
    Int place_of(const Stream &s, Chunk words, Int t) const { return (words.index * together + s.place) * all.steps + t; }
    Int target(const Stream &s, Int t) const { return all.targets[t * all.streams + s.number]; }

    void run(Int threads) {
        if (of_matrix) in_large_pages(all.of_weight, all.words * all.units * sizeof(T));
#pragma omp parallel num_threads(threads)
        {
            Scratch own{std::vector<T>(most * WIDTH), std::vector<T>(all.of_features ? CHUNK * WIDTH * wide : 0)};
#pragma omp for
            for (Int p = 0; p < panels; p++) lay_out(p);
            for (Int start = 0; start < all.streams; start += together) {
                const Int count = std::min(together, all.streams - start);
                auto each = [&](const auto &body) {
                    for (Int place = 0; place < count; place++) body(stream(start, place));
                };
#pragma omp for
                for (Int place = 0; place < count; place++) gather(stream(start, place));
#pragma omp for
                for (Int c = 0; c < chunks; c++) each([&](Stream s) { score(s, chunk(c), own); });
#pragma omp for
                for (Int place = 0; place < count; place++) normalise(stream(start, place));
                if (!all.of_features && !of_matrix) continue;
#pragma omp for
                for (Int i = 0; i < spans; i++)
                    for (Int first = chunks * i / spans, c = first; c < chunks * (i + 1) / spans; c++)
                        each([&](Stream s) { learn(s, chunk(c), own, i, c > first); });
                if (!all.of_features) continue;
#pragma omp for
                for (Int place = 0; place < count; place++) scatter(stream(start, place));
            }
            if (of_matrix)
#pragma omp for
                for (Int p = 0; p < panels; p++) hand_over(p);
        }
    }

    Int words_of(Int panel) const { return std::min(WIDTH, all.words - panel * WIDTH); }

    void lay_out(Int p) {
        const Int size = words_of(p);
        const T *weight = static_cast<const T *>(all.weight) + p * WIDTH * all.units, *bias = static_cast<const T *>(all.bias) + p * WIDTH;
        T *panel = &matrix[p * apart], *last = panel + all.units * WIDTH;
        if (size < WIDTH) std::fill_n(panel, apart, T(0));
        K::turn(weight, all.units, size, all.units, panel);
        std::fill(std::copy_n(bias, size, last), last + WIDTH, std::numeric_limits<T>::lowest() / 2); // words that there are not
        if (of_matrix) std::fill_n(&of_matrix[p * apart], apart, T(0));
    }

    void hand_over(Int p) {
        const T *panel = &of_matrix[p * apart];
        K::turn_back(panel, words_of(p), all.units, static_cast<T *>(all.of_weight) + p * WIDTH * all.units, all.units);
        std::copy_n(panel + all.units * WIDTH, words_of(p), static_cast<T *>(all.of_bias) + p * WIDTH);
    }

    void gather(const Stream &s) {
        const T *from = static_cast<const T *>(all.features) + s.number * all.units;
        K::gather_units(from, all.streams * all.units, all.steps, s.units, s.count - 1, features_of(s), s.count);
        for (Int t = 0; t < all.steps; t++) features_of(s)[t * s.count + s.count - 1] = 1;
    }

    // Makes powers of e of the scores of some words, less the largest of them, and finds these and their sum.
    void score(const Stream &s, Chunk words, Scratch &own) {
        for (Int p = words.start; p < words.end; p++) {
            K::gather_rows(&matrix[p * apart], s.units, s.count, own.panel.data());
            K::times_panel(features_of(s), all.steps, s.count, own.panel.data(), scores_of(s, p));
        }
        for (Int t = 0; t < all.steps; t++) {
            auto every = [&](const auto &body) INLINE {
                for (Int p = words.start; p < words.end; p++)
                    for (int b = 0; b < 2; b++) body(scores_of(s, p) + t * WIDTH + b * L);
            };
            const Int goal = target(s, t), p = goal / WIDTH;
            if (words.start <= p && p < words.end) right[s.place * all.steps + t] = scores_of(s, p)[t * WIDTH + goal % WIDTH];
            V high = load(scores_of(s, words.start) + t * WIDTH), total{};
            every([&](const T *at) INLINE { high = high < load(at) ? load(at) : high; });
            T top = high[0];
            for (Int i = 1; i < L; i++) top = std::max(top, T(high[i]));
            every([&](T *at) INLINE {
                const V power = K::power(load(at) - top);
                store(at, power);
                total += power;
            });
            double sum = 0;
            for (Int i = 0; i < L; i++) sum += total[i];
            largest[place_of(s, words, t)] = top;
            sums[place_of(s, words, t)] = sum;
        }
    }

    // Finds what makes probabilities of these powers, and the losses.
    void normalise(const Stream &s) {
        for (Int t = 0; t < all.steps; t++) {
            auto at = [&](Int index) { return place_of(s, chunk(index), t); };
            double high = largest[at(0)], total = 0;
            for (Int c = 1; c < chunks; c++) high = std::max(high, double(largest[at(c)]));
            for (Int c = 0; c < chunks; c++) total += sums[at(c)] * std::exp(largest[at(c)] - high);
            for (Int c = 0; c < chunks; c++) scales[at(c)] = T(std::exp(largest[at(c)] - high) / total * all.scale);
            all.losses[t * all.streams + s.number] = std::log(total) + high - right[s.place * all.steps + t];
        }
    }

    // Makes gradients of the scores of some words, and of them those of features and matrix.
    void learn(const Stream &s, Chunk words, Scratch &own, Int span, bool add) {
        for (Int p = words.start; p < words.end; p++) {
            for (Int t = 0; t < all.steps; t++) {
                T *at = scores_of(s, p) + t * WIDTH;
                for (int b = 0; b < 2; b++) store(at + b * L, load(at + b * L) * scales[place_of(s, words, t)]);
                if (target(s, t) / WIDTH == p) at[target(s, t) % WIDTH] -= T(all.scale);
                if (all.of_features)
                    for (Int c = 0; c < WIDTH; c++) own.turned[((p - words.start) * WIDTH + c) * wide + t] = at[c];
            }
            if (of_matrix) K::add_products(features_of(s), all.steps, s.count, scores_of(s, p), &of_matrix[p * apart], s.units);
        }
        if (!all.of_features) return;
        K::times_turned(&matrix[words.start * apart], words.end - words.start, apart, s.units, s.count - 1, own.turned.data(), wide,
                        part(s, span), add);
    }

    T *part(const Stream &s, Int span) { return &partial[(span * together + s.place) * most * wide]; }

    void scatter(const Stream &s) {
        T *total = part(s, 0);
        for (Int span = 1; span < spans; span++)
            for (Int i = 0; i < (s.count - 1) * wide; i += L) store(total + i, load(total + i) + load(part(s, span) + i));
        T *to = static_cast<T *>(all.of_features) + s.number * all.units;
        for (Int t = 0; t < all.steps; t++)
            for (Int k = 0; k + 1 < s.count; k++) to[t * all.streams * all.units + s.units[k]] = total[k * wide + t];
    }
};

template <class T> void run(const Words &words, Int threads) { Scores<T, WIDEST>(words).run(threads); }

} // namespace

extern "C" {

void word_losses(int is_double, const Words *words, Int threads) {
    is_double ? run<double>(*words, threads) : run<float>(*words, threads);
}
}
