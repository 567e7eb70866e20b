// The steps of a recurrent cell, forwards and backwards; lnas/kernels/recurrent.py says what.
//
// Of an edge nothing is kept but the two products that it was made of: its gate, its curves and their slopes are found
// again backward, which costs no more than to read them from memory. The same threads go through all steps; they share
// out the columns of products, the units of normalisations and else the streams, always in the same way, so that they
// wait for each other around products and normalisations alone. Each number, also of the sums for the gates, which are
// kept stream by stream, is the sum of its terms in their order, whatever the number of threads.

#include <cstring>
#include <vector>

#include "curves.hpp"
#include "panels.hpp"

namespace {

// A state and the edges that leave it; the same structures stand in recurrent.py.
struct Source {
    Int edges;                      // of which there may be none
    const Int *targets;             // the state that each enters
    const void *weights;            // of its tanh, ReLU, sigmoid and identity, and of the state, (edges, 5)
    const void *matrix, *transpose; // (units, 2 * edges * units), as panels
    void *inputs;                   // what the edges read of the state, (kept, streams, units)
    void *pairs;                    // their gates and candidates, (kept, streams, 2, edges, units); backward, the gradients
    double *products;               // sums of gradient times curve, and times state, to be added to: (streams, edges, 5)
};

enum Norm : Int { NONE, GIVEN, OF_STREAMS };

struct Cell {
    Int steps, kept, streams, units, states;
    const Source *sources;   // the hidden state before a step, and all states but the last
    const void *mask;        // factors of what the edges read, (streams, units), if there are any
    const void *shares;      // of each state in the hidden state, (states,)
    Int norm;                // of the states
    double eps;              // added to variances
    const void *mean;        // (units,), with which to normalise
    void *scale;             // (units,), likewise; or, of the streams, what was found, (steps, states, units)
    void *means, *variances; // of the streams, likewise; the variances unbiased
    const void *projected;   // to be added to the products of the first source, (steps, streams, 2 * units)
    const void *hidden;      // state before all steps, (streams, units)
    void *values;            // of the states, (kept, states, streams, units)
    void *output;            // the hidden states, (steps, streams, units)
    const void *of_output;   // their gradients
    void *of_values, *of_hidden; // room for those of one step's states, (states, streams, units); (streams, units), 0 at first
};

template <class T, int BYTES> struct Steps : Curves<T, BYTES> {
    using C = Curves<T, BYTES>;
    using V = typename C::V;
    static constexpr Int L = C::L;

    const Cell &cell;
    const Int size; // of a state

    explicit Steps(const Cell &c) : cell(c), size(c.streams * c.units) {}

    // Calls body(first unit, load, store) for vectors that cover all units; the last may be filled up with zeros.
    template <class Body> INLINE static inline void over_units(Int units, const Body &body) {
        for (Int u = 0; u < units; u += L) at_unit(u, units, [&](auto load, auto store) INLINE { body(u, load, store); });
    }

    template <class Body> INLINE static inline void at_unit(Int u, Int units, const Body &body) {
        if (u + L <= units) return body([](const T *p) INLINE { return C::load(p); }, [](T *p, V v) INLINE { C::store(p, v); });
        const size_t rest = (units - u) * sizeof(T);
        body(
            [rest](const T *p) INLINE {
                V v{};
                std::memcpy(&v, p, rest);
                return v;
            },
            [rest](T *p, V v) INLINE { std::memcpy(p, &v, rest); });
    }

    // Threads go on to what follows without those that still have streams to do.
    template <class Body> INLINE inline void over_streams(const Body &body) const {
#pragma omp for schedule(static) nowait
        for (Int stream = 0; stream < cell.streams; stream++) body(stream);
    }

    T *state(Int step, Int number) const { return static_cast<T *>(cell.values) + (step % cell.kept * cell.states + number) * size; }
    T *output(Int step) const { return static_cast<T *>(cell.output) + step * size; }
    T *of_state(Int number) const { return static_cast<T *>(cell.of_values) + number * size; }
    T *of_hidden() const { return static_cast<T *>(cell.of_hidden); }

    // What the source of a number reads.
    const T *before(Int step, Int number) const {
        if (number) return state(step, number - 1);
        return step ? output(step - 1) : static_cast<const T *>(cell.hidden);
    }

    Int columns(const Source &s) const { return 2 * s.edges * cell.units; }
    T *inputs(const Source &s, Int step) const { return static_cast<T *>(s.inputs) + step % cell.kept * size; }
    T *pairs(const Source &s, Int step) const { return static_cast<T *>(s.pairs) + step % cell.kept * cell.streams * columns(s); }

    void forward(Int threads) const {
#pragma omp parallel num_threads(threads)
        {
            std::vector<T> sums(cell.streams * Tiles<T>::WIDTH);
            for (Int step = 0; step < cell.steps; step++) {
                over_streams([&](Int i) {
                    for (Int number = 0; number < cell.states; number++) std::fill_n(state(step, number) + i * cell.units, cell.units, T(0));
                });
                for (Int number = 0; number < cell.states; number++) {
                    if (cell.sources[number].edges) read(step, number, sums.data());
                    if (cell.norm != NONE) {
#pragma omp barrier
                        normalise(state(step, number), step * cell.states + number);
                    }
                }
                over_streams([&](Int i) { mean(step, i * cell.units); });
            }
        }
    }

    void read(Int step, Int number, T *sums) const {
        const Source &s = cell.sources[number];
        const T *from = before(step, number), *mask = static_cast<const T *>(cell.mask);
        T *to = inputs(s, step), *pair = pairs(s, step);
        over_streams([&](Int i) {
            for (Int u = i * cell.units; u < (i + 1) * cell.units; u++) to[u] = mask ? from[u] * mask[u] : from[u];
        });
#pragma omp barrier
        const T *add = number ? nullptr : static_cast<const T *>(cell.projected) + step * cell.streams * columns(s);
        const Product product{cell.streams, cell.units, columns(s), cell.units, columns(s), columns(s), to, s.matrix, nullptr, add, pair};
        Tiles<T>::multiply(product, sums);
        over_streams([&](Int i) {
            for (Int e = 0; e < s.edges; e++) {
                const Edge own = edge(s, e, i, pair, from);
                T *sum = state(step, s.targets[e]) + i * cell.units;
                own.smooth() ? read_edge<true>(own, sum, cell.units) : read_edge<false>(own, sum, cell.units);
            }
        });
    }

    void mean(Int step, Int at) const {
        over_units(cell.units, [&](Int u, auto load, auto store) INLINE {
            V sum{};
            for (Int number = 0; number < cell.states; number++)
                sum += static_cast<const T *>(cell.shares)[number] * load(state(step, number) + at + u);
            store(output(step) + at + u, sum);
        });
    }

    void backward(Int threads) const {
#pragma omp parallel num_threads(threads)
        {
            std::vector<T> sums(cell.streams * Tiles<T>::WIDTH);
            for (Int step = cell.steps - 1; step >= 0; step--) {
                over_streams([&](Int i) { share_out(step, i * cell.units); });
                for (Int number = cell.states - 1; number >= 0; number--) {
                    if (cell.norm != NONE) {
#pragma omp barrier
                        learn_norm(of_state(number), state(step, number), step * cell.states + number);
                    }
                    if (cell.sources[number].edges) learn(step, number, sums.data());
                }
            }
        }
    }

    void share_out(Int step, Int at) const {
        over_units(cell.units, [&](Int u, auto load, auto store) INLINE {
            const V whole = load(of_hidden() + at + u) + load(static_cast<const T *>(cell.of_output) + step * size + at + u);
            store(of_hidden() + at + u, V{});
            for (Int number = 0; number < cell.states; number++)
                store(of_state(number) + at + u, static_cast<const T *>(cell.shares)[number] * whole);
        });
    }

    void learn(Int step, Int number, T *sums) const {
        const Source &s = cell.sources[number];
        const T *from = before(step, number);
        T *pair = pairs(s, step), *of_from = number ? of_state(number - 1) : of_hidden();
        over_streams([&](Int i) {
            for (Int e = 0; e < s.edges; e++) {
                const Edge own = edge(s, e, i, pair, from);
                const T *of_sum = of_state(s.targets[e]) + i * cell.units;
                T *of_state = of_from + i * cell.units;
                if (s.products)
                    learn_edge<true, true>(own, of_sum, of_state, cell.units);
                else if (own.smooth())
                    learn_edge<false, true>(own, of_sum, of_state, cell.units);
                else
                    learn_edge<false, false>(own, of_sum, of_state, cell.units);
            }
        });
#pragma omp barrier
        const Int wide = columns(s), units = cell.units;
        Tiles<T>::multiply({cell.streams, wide, units, wide, units, units, pair, s.transpose, cell.mask, of_from, of_from}, sums);
    }

    // An edge of one stream.
    struct Edge {
        T *gate, *candidate;
        const T *state, *weights;
        double *products;

        bool smooth() const { return weights[0] != 0 || weights[2] != 0; }
    };

    Edge edge(const Source &s, Int e, Int stream, T *pair, const T *from) const {
        T *gate = pair + (stream * 2 * s.edges + e) * cell.units;
        double *products = s.products ? s.products + (stream * s.edges + e) * 5 : nullptr;
        return {gate, gate + s.edges * cell.units, from + stream * cell.units, static_cast<const T *>(s.weights) + e * 5, products};
    }

    template <bool SMOOTH> static void read_edge(const Edge &edge, T *sum, Int units) {
        const T *w = edge.weights;
        over_units(units, [&](Int u, auto load, auto store) INLINE {
            const V state = load(edge.state + u), gate = C::sigmoid(load(edge.gate + u)).value;
            const V bracket = C::template mixed<SMOOTH>(load(edge.candidate + u), w).value - w[4] * state;
            store(sum + u, load(sum + u) + w[4] * state + gate * bracket);
        });
    }

    template <bool GATES, bool SMOOTH> static void learn_edge(const Edge &edge, const T *sum, T *of_state, Int units) {
        const T *w = edge.weights;
        V products[5] = {};
        over_units(units, [&](Int u, auto load, auto store) INLINE {
            const V state = load(edge.state + u), of_sum = load(sum + u);
            const auto gate = C::sigmoid(load(edge.gate + u));
            const auto mixed = C::template mixed<SMOOTH>(load(edge.candidate + u), w);
            const V through = of_sum * gate.value, around = of_sum - through;
            store(of_state + u, load(of_state + u) + w[4] * around);
            store(edge.gate + u, of_sum * gate.slope * (mixed.value - w[4] * state));
            store(edge.candidate + u, through * mixed.slope);
            if constexpr (GATES) {
                for (int k = 0; k < 4; k++) products[k] += through * mixed.curves[k];
                products[4] += around * state;
            }
        });
        if constexpr (GATES)
            for (int k = 0; k < 5; k++)
                for (Int i = 0; i < L; i++) edge.products[k] += products[k][i];
    }

    void normalise(T *x, Int call) const {
        const T count = cell.streams;
        auto found = [&](void *table, Int u) INLINE { return static_cast<T *>(table) + call * cell.units + u; };
#pragma omp for schedule(static)
        for (Int u = 0; u < cell.units; u += L)
            at_unit(u, cell.units, [&](auto load, auto store) INLINE {
                V mean{}, scale{};
                if (cell.norm == GIVEN) {
                    mean = load(static_cast<const T *>(cell.mean) + u), scale = load(static_cast<const T *>(cell.scale) + u);
                } else {
                    V squares{};
                    over_column(u, [&](Int i) INLINE { mean += load(x + i); });
                    mean /= count;
                    over_column(u, [&](Int i) INLINE {
                        const V off = load(x + i) - mean;
                        squares += off * off;
                    });
                    for (Int i = 0; i < L; i++) scale[i] = 1 / std::sqrt(T(squares[i] / count + cell.eps));
                    store(found(cell.means, u), mean);
                    store(found(cell.variances, u), squares / (count - 1));
                    store(found(cell.scale, u), scale);
                }
                over_column(u, [&](Int i) INLINE { store(x + i, (load(x + i) - mean) * scale); });
            });
    }

    // Makes the gradient of what was normalised of that of y.
    void learn_norm(T *grad, const T *y, Int call) const {
        const bool given = cell.norm == GIVEN;
        const T count = cell.streams, *scales = static_cast<const T *>(cell.scale) + (given ? 0 : call * cell.units);
#pragma omp for schedule(static)
        for (Int u = 0; u < cell.units; u += L)
            at_unit(u, cell.units, [&](auto load, auto store) INLINE {
                V mean{}, along{};
                if (!given)
                    over_column(u, [&](Int i) INLINE {
                        mean += load(grad + i);
                        along += load(grad + i) * load(y + i);
                    });
                mean /= count, along /= count;
                const V scale = load(scales + u);
                over_column(u, [&](Int i) INLINE { store(grad + i, (load(grad + i) - mean - load(y + i) * along) * scale); });
            });
    }

    template <class Body> INLINE inline void over_column(Int u, const Body &body) const {
        for (Int stream = 0; stream < cell.streams; stream++) body(stream * cell.units + u);
    }
};

} // namespace

extern "C" {

void panels_pack(int is_double, const void *matrix, Int inner, Int columns, Int down, Int right, void *panels, Int threads) {
    auto pack = [&](auto zero) {
        using T = decltype(zero);
        Tiles<T>::pack(static_cast<const T *>(matrix), inner, columns, down, right, static_cast<T *>(panels), threads);
    };
    is_double ? pack(double()) : pack(float());
}

void recurrent_forward(int is_double, const Cell *cell, Int threads) {
    is_double ? Steps<double, WIDEST>(*cell).forward(threads) : Steps<float, WIDEST>(*cell).forward(threads);
}

void recurrent_backward(int is_double, const Cell *cell, Int threads) {
    is_double ? Steps<double, WIDEST>(*cell).backward(threads) : Steps<float, WIDEST>(*cell).backward(threads);
}
}
