/** A request as it may be named in messages: without its query, user name and password, which may hold secrets. */
export function place(request: { readonly method: string; readonly url: URL }): string {
  return `${request.method} ${request.url.origin}${request.url.pathname}`
}
