// Custom resources, as a JSON list on standard input, against the schemas that their operators publish (as packed in
// @kubernetes-models). A schema lets names pass that it does not have, and the API server drops them: so every name that
// the validator never looked at is an error here.
import { readFileSync } from "node:fs"
import * as secrets from "@kubernetes-models/external-secrets/external-secrets.io/v1"
import * as keda from "@kubernetes-models/keda/keda.sh/v1alpha1"
import * as monitoring from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"

const models = [...Object.values(secrets), ...Object.values(keda), ...Object.values(monitoring)]

// What was read of a value. An array's and a map's own entries are listed by the validator, which reads them all.
function watched(value, path, reads) {
    if (value === null || typeof value !== "object") return value
    const read = new Set()
    reads.push({ value, path, read })
    const inner = Object.fromEntries(Object.entries(value).map(([key, it]) => [key, watched(it, `${path}/${key}`, reads)]))
    const target = Array.isArray(value) ? Object.assign([], inner) : inner
    return new Proxy(target, {
        get: (object, key) => (read.add(key), object[key]),
        has: (object, key) => (read.add(key), key in object),
    })
}

function problems(resource) {
    const { apiVersion, kind } = resource
    const name = `${kind} ${resource.metadata.name}`
    const Model = models.find(model => model.apiVersion === apiVersion && model.kind === kind)
    if (!Model) return [`${name}: no schema of ${apiVersion}`]
    const reads = []
    try {
        // Not on a Model: it would be a copy, made by reading everything.
        Model.prototype.validate.call(watched(resource, "", reads))
    } catch (error) {
        return [`${name}: ${error.message}`]
    }
    return reads
        .filter(({ value }) => !Array.isArray(value))
        .flatMap(({ value, path, read }) => Object.keys(value).filter(key => !read.has(key)).map(key => `${path}/${key}`))
        .map(path => `${name}: ${path} is in no schema`)
}

const found = JSON.parse(readFileSync(0, "utf8")).flatMap(problems)
found.forEach(problem => console.error(problem))
process.exit(found.length ? 1 : 0)
