#!/usr/bin/env python3
"""Recomputes the numbers of docs/theory.md: python scripts/check-theory.py

Needs numpy. A line `<!-- checked: NAME -->` in the page marks a table; this script computes the table NAME from the
definitions that the page states, prints each cell beside its value, and exits with 1 if a cell is missing or disagrees.
Tables in ROUNDED hold rounded figures, which must agree to half a unit of their last digit; all others to 1e-12.
"""

import pathlib
import re
import sys

import numpy as np

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "theory.md"
ROUNDED = {"edge", "multipliers", "regularised", "plain"}
EXACT = 1e-12
# What f64 leaves of differences between probabilities.
ROUNDING = 2e-15

P = np.array([[0.5, 0.1, 0.8], [0.9, 0.5, 0.1], [0.2, 0.9, 0.5]])
REF, PI_T = np.array([0.25, 0.45, 0.30]), np.array([0.5, 0.3, 0.2])
UNIFORM = np.full(3, 1 / 3)


# The game (section 2).

def normalised(log_weights):
    weights = np.exp(log_weights - log_weights.max())
    return weights / weights.sum()


def kl(p, q):
    return p @ np.log(p / q)


def best_response(pi, ref, tau):
    return normalised(np.log(ref) + P @ pi / tau)


def plain_gap(pi):
    return 2 * (P @ pi).max() - 1


def gap(pi, ref, tau):
    return 2 * (tau * np.log(ref @ np.exp(P @ pi / tau)) + tau * kl(pi, ref)) - 1


def nash(ref, tau):
    """Newton's method on pi = BR_tau(pi), with tau lowered step by step."""
    pi = ref
    for level in np.geomspace(10 * tau, tau, 20):
        for _ in range(20):
            response = best_response(pi, ref, level)
            slope = (np.diag(response) - np.outer(response, response)) @ P / level
            pi = pi + np.linalg.solve(np.eye(3) - slope, response - pi)
    assert abs(pi - best_response(pi, ref, tau)).max() < 1e-13
    return pi


def rotation(pi):
    """s, the largest |eigenvalue| of P S."""
    return abs(np.linalg.eigvals(P @ (np.diag(pi) - np.outer(pi, pi)))).max()


# Steps (sections 3 and 7): the anchors' geometric mean times exp(P(y > opponent) / eta).

def step(pi, opponent, ref, tau, eta):
    return normalised(tau / eta * np.log(ref) + (1 - tau / eta) * np.log(pi) + P @ opponent / eta)


def inpo(pi, ref, tau, eta):
    return step(pi, pi, ref, tau, eta)


def mixture(pi, ref, tau, eta):
    return normalised(tau / eta * np.log(ref) + (1 - tau / eta) * np.log(pi))


def egpo(pi, ref, tau, eta):
    return step(pi, inpo(pi, ref, tau, eta), ref, tau, eta)


def comal_phase(ref, tau, eta, period):
    pi = ref
    for _ in range(period):
        pi = inpo(pi, ref, tau, eta)
    return pi


# Losses (section 4).

def losses(pi, sampler, tau, eta):
    """(7), (8) and (9) for i.i.d. pairs from the sampler; anchors ref and pi_t."""
    rates, found = P @ sampler, np.zeros(3)
    for y in range(3):
        for z in range(3):
            h = (np.log(pi[y] / pi[z]) - tau / eta * np.log(REF[y] / REF[z])
                 - (1 - tau / eta) * np.log(PI_T[y] / PI_T[z]))
            hard = P[y, z] * (h - 0.5 / eta) ** 2 + P[z, y] * (-h - 0.5 / eta) ** 2
            soft = (h - (P[y, z] - 0.5) / eta) ** 2
            found += sampler[y] * sampler[z] * np.array([(h - (rates[y] - rates[z]) / eta) ** 2, hard, soft])
    return found


def slopes(pi, sampler, tau, eta):
    """Gradients of the three losses in the logits of pi, by central differences."""
    width, rows = 1e-5, []
    for direction in np.eye(3) * width:
        ahead, behind = (losses(normalised(np.log(pi) + sign * direction), sampler, tau, eta) for sign in (1, -1))
        rows.append((ahead - behind) / (2 * width))
    return np.array(rows)


# The tables, {(row, column): value or values}.

def vectors():
    v2 = [-10, -12, -11, -11.5, -10.5, -11.75]
    cases = {
        "V1": ([-120.5, -131.25, -125, -128, -121, -130], 0.005, 0.005 / 3),
        "V2": (v2, 0.1, 0.1 / 3),
        "V3, tau = 0": (v2, 0.1, 0),
        "V4, which is IPO": (v2, 0.1, 0.1),
        "V5, a first step": ([-50, -60, -50, -60, -50, -60], 0.0075, 0.0025),
    }
    cells = {}
    for row, (logps, eta, tau) in cases.items():
        pi, ref, pi_t = (logps[i] - logps[i + 1] for i in (0, 2, 4))
        h, target = pi - tau / eta * ref - (1 - tau / eta) * pi_t, 1 / (2 * eta)
        values = [logps, eta, tau, h, target, (h - target) ** 2, 2 * (h - target)]
        columns = ["log-probs", "eta", "tau", "h", "target", "loss", "d/dlog pi_w"]
        cells |= {(row, column): value for column, value in zip(columns, values)}
    return cells


def one_step():
    tau, eta = 0.2, 0.5
    rates, after, pi_star = P @ PI_T, inpo(PI_T, REF, tau, eta), nash(REF, tau)
    mix, full = mixture(PI_T, REF, tau, eta), egpo(PI_T, REF, tau, eta)
    against_mix = step(PI_T, mix, REF, tau, eta)
    policies = [PI_T, after, REF, UNIFORM]
    # The samplers' steps are minimisers: no gradient of (8) is left.
    for pi, sampler in [(after, PI_T), (against_mix, mix), (full, after)]:
        assert abs(slopes(pi, sampler, tau, eta)[:, 1]).max() < 1e-8
    residual = tau / eta * np.log(PI_T / REF) - rates / eta
    slope = 4 * PI_T * (residual - PI_T @ residual)
    assert abs(slopes(PI_T, PI_T, tau, eta) - slope[:, None]).max() < 1e-8
    exact, hard, soft = losses(REF, PI_T, tau, eta)
    f = np.log(after / (REF ** (tau / eta) * PI_T ** (1 - tau / eta)))
    s = rotation(pi_star)
    values = {
        "win rates P pi_t; their mean under pi_t": [*rates, PI_T @ rates],
        "pi_{t+1}": after,
        "h_t(pi_{t+1}; a, b), h_t(pi_{t+1}; a, c)": [f[0] - f[1], f[0] - f[2]],
        "(7), (8), (9) at pi_{t+1}": losses(after, PI_T, tau, eta),
        "(8) - (7), (9) - (7), (8) - (9), at every pi": [hard - exact, soft - exact, hard - soft],
        "(7) at pi_t, ref, uniform, [.6, .1, .3]": [
            losses(pi, PI_T, tau, eta)[0] for pi in (PI_T, REF, UNIFORM, np.array([0.6, 0.1, 0.3]))],
        "gradient of (7), (8) and (9) in the logits, at pi_t": slope,
        "BR_tau(pi_t)": best_response(PI_T, REF, tau),
        "DualGap_tau of pi_t, pi_{t+1}, ref, uniform": [gap(pi, REF, tau) for pi in policies],
        "DualGap_0 of pi_t, pi_{t+1}, ref, uniform": [plain_gap(pi) for pi in policies],
        "KL(pi_{t+1} || pi_t), KL(pi_{t+1} || ref), KL(pi_t || ref)": [kl(after, PI_T), kl(after, REF), kl(PI_T, REF)],
        "pi*, the regularised Nash policy": pi_star,
        "DualGap_0 of pi*": plain_gap(pi_star),
        "KL(pi* || pi_t), KL(pi* || pi_{t+1})": [kl(pi_star, PI_T), kl(pi_star, after)],
        "s^2 at pi*; threshold of eta": [s**2, tau / 2 + s**2 / (2 * tau)],
        "mix_t": mix,
        "Nash-MD's step, the minimiser of (8) on pairs from mix_t": against_mix,
        "EGPO's full step, the minimiser of (8) on pairs from pi_{t+1}": full,
    }
    return {(row, "value"): value for row, value in values.items()}


def equilibria():
    original = np.array([4, 3, 4]) / 11
    assert abs(P @ original - 0.5).max() < ROUNDING
    cells = {("plain game", "policy"): original, ("plain game", "DualGap_0"): 0}
    for tau in (0.1, 0.01):
        row, pi = f"tau = {tau}", nash(UNIFORM, tau)
        assert abs(gap(pi, UNIFORM, tau)) < ROUNDING
        s2 = rotation(pi) ** 2
        # The fastest constant eta.
        fast, modulus = tau + s2 / tau, lambda eta: np.hypot(1 - tau / eta, s2**0.5 / eta)
        assert modulus(fast) < min(modulus(0.99 * fast), modulus(1.01 * fast))
        assert abs(modulus(fast) - (s2 / (tau**2 + s2)) ** 0.5) < EXACT
        values = {"policy": pi, "DualGap_0": plain_gap(pi), "s^2": s2, "threshold of eta": tau / 2 + s2 / (2 * tau)}
        cells |= {(row, column): value for column, value in values.items()}
    return cells


def edge():
    pi_star = nash(UNIFORM, 0.1)

    def distances(eta, updates):
        return [kl(pi_star, pi) for pi in trajectory(lambda pi, _: inpo(pi, UNIFORM, 0.1, eta), updates)]

    late = distances(0.2, 3000)[1000:]
    rows = {f"eta = {eta}, after 5000": distances(eta, 5000)[-1] for eta in (0.27, 0.26)}
    rows["eta = 0.2, least and most from 1000 to 3000"] = [min(late), max(late)]
    return {(row, "KL(pi* || pi)"): value for row, value in rows.items()}


def spectral_radius(update, policies):
    """That of the update at a fixed point, by central differences in centred log-probs."""
    width, at, columns = 1e-5, np.log(np.array(policies)), []

    def centred(logs):
        logs = np.log(np.array(update(*[normalised(row) for row in logs.reshape(at.shape)])))
        return (logs - logs.mean(axis=1, keepdims=True)).ravel()

    for direction in np.eye(at.size) * width:
        columns.append((centred(at.ravel() + direction) - centred(at.ravel() - direction)) / (2 * width))
    return abs(np.linalg.eigvals(np.array(columns).T)).max()


def largest_root(*coefficients):
    return abs(np.roots(coefficients)).max()


def multipliers():
    """Each formula against differences of the update itself; eta = 0.5, tau = 0.1, period 20, decay 0.9."""
    tau, eta, period, decay, weights = 0.1, 0.5, 20, 0.9, np.array([0.4, 0.2, 0.4])
    k, plain, pi_star = 1 - tau / eta, np.array([4, 3, 4]) / 11, nash(UNIFORM, tau)
    x, x_plain = 1j * rotation(pi_star) / eta, 1j * rotation(plain) / eta
    # Nash-MD rests where its mixture is the Nash policy of tau / k; IPO at the Nash policy of its own weight.
    mix, own = nash(UNIFORM, tau / k), nash(UNIFORM, eta)
    beside = normalised(np.log(mix) / k)
    x_mix, x_own = 1j * rotation(mix) / eta, 1j * rotation(own) / eta
    a, keep = k + x_plain, eta / (eta + tau)
    b = keep + 1j * rotation(plain) / (eta + tau)

    def nash_md(pi):
        return [step(pi, mixture(pi, UNIFORM, tau, eta), UNIFORM, tau, eta)]

    def nash_ema(pi, ema):
        after = step(pi, ema, UNIFORM, tau, eta)
        return [after, normalised(decay * np.log(ema) + (1 - decay) * np.log(after))]

    def onpo(pi, aux):
        aux = step(aux, pi, UNIFORM, 0, eta)
        return [step(aux, pi, UNIFORM, 0, eta), aux]

    def mnpo(opponents):
        def update(*history):
            mean = sum(w * np.log(pi) for w, pi in zip(weights, history))
            return [normalised(mean + P @ opponents(history) / eta), *history[:-1]]
        return update

    whole, newest = mnpo(lambda history: weights @ history), mnpo(lambda history: history[0])
    rows = {
        "INPO": (k + x, lambda pi: [inpo(pi, UNIFORM, tau, eta)], [pi_star]),
        "INPO at tau = 0, SPPO": (1 + x_plain, lambda pi: [inpo(pi, UNIFORM, 0, eta)], [plain]),
        "iterative IPO to ref": (x_own, lambda pi: [inpo(pi, UNIFORM, eta, eta)], [own]),
        "Nash-MD": (k * (1 + x_mix), nash_md, [beside]),
        "Nash-EMA": (largest_root(1, -(k + decay + (1 - decay) * x), k * decay), nash_ema, [pi_star] * 2),
        "EGPO": (k + k * x + x**2, lambda pi: [egpo(pi, UNIFORM, tau, eta)], [pi_star]),
        "ONPO": (largest_root(1, -(1 + 2 * x_plain), x_plain), onpo, [plain] * 2),
        "COMAL, a phase": (a**period + (1 - k) * (1 - a**period) / (1 - a),
                           lambda ref: [comal_phase(ref, tau, eta, period)], [plain]),
        "MPO, a phase": (b**period + (1 - keep) * (1 - b**period) / (1 - b),
                         lambda ref: [comal_phase(ref, tau, eta + tau, period)], [plain]),
        "MNPO, whole history": (largest_root(1, *(-weights * (1 + x_plain))), whole, [plain] * 3),
        "MNPO, pi_t alone": (largest_root(1, *(-weights - [x_plain, 0, 0])), newest, [plain] * 3),
    }
    cells = {}
    for row, (formula, update, fixed) in rows.items():
        assert abs(np.array(update(*fixed)) - np.array(fixed)).max() < 1e-13, row
        assert abs(abs(formula) - spectral_radius(update, fixed)) < 1e-8, row
        cells[row, "on the cyclic game"] = abs(formula)
    return cells


def trajectory(update, updates):
    policies = [UNIFORM]
    for n in range(1, updates + 1):
        policies.append(update(policies[-1], n))
    return policies


def regularised():
    """KL(pi* || pi_n) and DualGap_tau after n updates."""
    tau, pi_star = 0.1, nash(UNIFORM, 0.1)
    runs = {f"eta = {eta}": trajectory(lambda pi, _: inpo(pi, UNIFORM, tau, eta), 100) for eta in (1, 0.3, 0.2, 0.1)}
    runs["tau (n + 2)/2"] = trajectory(lambda pi, n: inpo(pi, UNIFORM, tau, tau * (n + 2) / 2), 1000)
    runs["EGPO, eta = 2"] = trajectory(lambda pi, _: egpo(pi, UNIFORM, tau, 2), 100)
    return {(f"{n}", column): [kl(pi_star, run[n]), gap(run[n], UNIFORM, tau)] for column, run in runs.items()
            for n in (0, 1, 2, 3, 10, 30, 100, 1000) if n < len(run)}


def plain():
    """DualGap_0 after n updates, and of the mean of pi_1 .. pi_n."""
    onpo, aux = [UNIFORM], UNIFORM
    for _ in range(2000):
        aux = step(aux, onpo[-1], UNIFORM, 0, 2)
        onpo.append(step(aux, onpo[-1], UNIFORM, 0, 2))
    comal, ref = [UNIFORM], UNIFORM
    for n in range(1, 401):
        comal.append(inpo(comal[-1], ref, 0.1, 0.5))
        ref = comal[-1] if n % 20 == 0 else ref
    cells = {}
    for name, run in {"INPO": trajectory(lambda pi, _: inpo(pi, UNIFORM, 0, 1), 1000), "ONPO": onpo, "COMAL": comal}.items():
        rows = [n for n in (1, 9, 10, 20, 99, 100, 200, 400, 999, 1000, 2000) if n < len(run)]
        cells |= {(f"{n}", f"{name}, last"): plain_gap(run[n]) for n in rows}
        if name != "COMAL":
            cells |= {(f"{n}", f"{name}, average"): plain_gap(np.mean(run[:n], axis=0))
                      for n in rows if n in (10, 100, 1000, 2000)}
    return cells


TABLES = {
    "edge": edge, "multipliers": multipliers, "vectors": vectors, "one-step": one_step, "equilibria": equilibria,
    "regularised": regularised, "plain": plain,
}


# The page.

NUMBER = re.compile(r"-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?(?:/\d+)?")


def cells_of(page, name):
    """{(row, column): text} of the table below the mark; empty without one."""
    rows = []
    for line in page.partition(f"<!-- checked: {name} -->\n")[2].splitlines():
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return {(row[0], column): text for row in rows[2:] for column, text in zip(rows[0][1:], row[1:])}


def agrees(text, value, rounded):
    numerator, _, denominator = text.partition("/")
    shown = float(numerator) / float(denominator or 1)
    if not rounded:
        return abs(shown - value) <= EXACT * max(1, abs(value))
    digits, _, exponent = text.partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
    return abs(shown - value) <= 0.51 * unit + ROUNDING


def main():
    page, faults, checked = PAGE.read_text(), 0, 0
    for name, table in TABLES.items():
        print(f"\n{name}")
        expected = table()
        cells = cells_of(page, name)
        columns = {column for _, column in expected}
        found = {key for key, text in cells.items() if key[1] in columns and NUMBER.search(text)}
        for key in sorted(found - set(expected)):
            print(f"FAULT {key}: the page says {cells[key]}, and no value is computed")
            faults += 1
        for key, value in expected.items():
            values = np.ravel(value)
            texts = NUMBER.findall(cells.get(key, ""))
            good = len(texts) == len(values) and all(agrees(t, v, name in ROUNDED) for t, v in zip(texts, values))
            checked += len(values)
            faults += not good
            print("  " if good else "FAULT ", *key, "|", cells.get(key, "(missing)"), "|", *(f"{v:.17g}" for v in values))
    print(f"\n{checked} numbers, {faults} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
