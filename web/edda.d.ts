// Types of the client of Edda. docs/javascript.md says how to use it.

/** connect returns a client at once. It connects, and connects again, until it is closed. */
export function connect(options?: ConnectOptions): Client;

export interface ConnectOptions {
  /** Where the node is: "https://edda.example.com". A page's own origin by default. */
  url?: string | URL;
  /** The credentials; a function is asked anew for each connection. Without them the caller is anonymous. */
  token?: string | (() => string | Promise<string>);
  /** "default" by default. */
  namespace?: string;
  /** The constructor of WebSockets, where there is none yet: in Node.js before 22. */
  WebSocket?: new (url: string, protocol: string) => unknown;
  /** How long to wait before the first new connection, and at most, in ms; half of it is chance. 100 and 10,000 by default. */
  minDelay?: number;
  maxDelay?: number;
  /** How long to wait for a connection, in ms: 10,000 by default. */
  connectTimeout?: number;
  /** How often the node is asked whether it is there, in ms: 15,000 by default. */
  pingInterval?: number;
}

export interface Client extends EventTarget {
  /** "open" while the node can be reached, "closed" after close. */
  readonly state: "connecting" | "open" | "closed";
  /** Who the caller is, once the node has said so. */
  readonly principal: string | undefined;

  /**
   * call sends a request to a service. Any reply resolves the promise, whatever its status; it is rejected with
   * an EddaError. A call with an idempotency key is repeated when the connection is lost, and handled once.
   */
  call<T = unknown>(service: string, method: string, data?: unknown, options?: CallOptions): Promise<Reply<T>>;

  /** append appends a message to a stream. With an id it is repeated when the connection is lost, and stored once. */
  append(stream: string, type: string, data?: unknown, options?: AppendOptions): Promise<Appended>;

  /** publish publishes a message to a channel. With an id it is repeated when the connection is lost, and stored once. */
  publish(channel: string, type: string, data?: unknown, options?: PublishOptions): Promise<Published>;

  /**
   * subscribe listens to a channel or a stream. The handler gets the messages one after the other; the next one
   * waits for the promise that it returns. Without a handler they come in a loop: for await (const m of subscription).
   * After a lost connection it goes on where it was, without a gap or a repeat.
   */
  subscribe<T = any>(what: Subscribe, handler?: (message: Message<T>) => unknown): Subscription<T>;

  /** close ends the client: what it waits for is rejected, its subscriptions are over. */
  close(): void;

  addEventListener<K extends keyof ClientEvents>(
    type: K,
    listener: (event: CustomEvent<ClientEvents[K]>) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}

export interface ClientEvents {
  /** The node can be reached, for the first time or again. */
  open: { principal: string | undefined };
  /** It cannot any more. */
  close: {
    why: string;
    /** The client connects again. */
    again: boolean;
  };
  /** A connection that was lost or could not be made, a refused token, a subscription that was refused or ended. */
  error: EddaError;
}

export interface RequestOptions {
  /** Headers that reach the handler, or the readers of the message. */
  headers?: Record<string, string>;
  /** Of data. By default text for a string, application/octet-stream for bytes, else JSON. */
  contentType?: string;
  /** How long to wait for an answer, also for a connection, in ms; 0 is without end. 30,000 by default. */
  timeout?: number;
  /** Ends the wait with CANCELLED, and cancels a call. */
  signal?: AbortSignal;
}

export interface CallOptions extends RequestOptions {
  /** Of an ordered service; with a balanced one there is none. */
  key?: string;
  /** A key of its own by default; null for none: then a lost connection is OUTCOME_UNKNOWN. */
  idempotencyKey?: string | null;
  /** Called once the request is stored, before it is handled. */
  onAck?: (ack: { id: string; position: string }) => void;
}

export interface AppendOptions extends PublishOptions {
  shard?: string;
}

export interface PublishOptions extends RequestOptions {
  key?: string;
  source?: string;
  replyTo?: string;
  /** An id of its own by default; null leaves it to the node: then a lost connection is OUTCOME_UNKNOWN. */
  id?: string | null;
}

export interface Reply<T = unknown> {
  /** The request's. */
  id: string | undefined;
  status: number;
  headers: Record<string, string>;
  contentType: string | undefined;
  /** JSON as its value, text as a string, anything else as bytes. */
  data: T;
  /** How often it was tried. */
  attempts: number;
  /** The reply was given before, to the same idempotency key. */
  replayed: boolean;
}

export interface Appended {
  id: string;
  shard: string;
  offset: number;
  position: string;
  /** It was there before, with the same id. */
  replayed?: boolean;
}

export interface Published {
  id: string;
  position: string;
  /** It was there before, with the same id. */
  replayed?: boolean;
}

export type Subscribe = ({ channel: string; stream?: undefined } | { stream: string; channel?: undefined }) & {
  /** Which types of messages: those that match any; all without any. */
  patterns?: string[];
  /** "start", "end", a time (RFC 3339), or the from of a message. "end" by default. */
  from?: string;
  /** "ephemeral" has each pattern count for one message. "eternal" by default. */
  lifespan?: "eternal" | "ephemeral";
  /** How many messages may wait to be handled: 256 by default. */
  window?: number;
  /** Called, in order with the messages, for each who is there, who joins the channel, and who leaves it. */
  onPresence?: (presence: Presence & { joined: boolean }, subscription: Subscription) => void;
  /** Called, in order with the messages, when some may have been removed before they could be sent. */
  onGap?: (subscription: Subscription) => void;
  /** Called when nothing comes any more, with the error if that is why. */
  onEnd?: (error?: EddaError) => void;
};

export interface Subscription<T = any> extends AsyncIterable<Message<T>> {
  /** Resolves when the node has accepted it, and is rejected when it has not. It need not be looked at. */
  readonly ready: Promise<Subscription<T>>;
  /** The patterns held now; none means all. */
  readonly patterns: string[];
  /** Who has subscribed to the channel, this client included; empty without onPresence. */
  readonly present: Presence[];
  /** Where to begin for what comes after the last message that was handled. */
  readonly from: string | undefined;
  /** unsubscribe gives up some patterns, or all without any. Nothing is handled after it. */
  unsubscribe(...patterns: string[]): void;
}

export interface Message<T = any> {
  id: string;
  type: string;
  /** Empty where it was published to the channel itself. */
  stream?: string;
  shard: string;
  offset: number;
  key?: string;
  source?: string;
  principal?: string;
  headers?: Record<string, string>;
  contentType?: string;
  /** When it was made, RFC 3339. */
  time: string;
  /** JSON as its value, text as a string, anything else as bytes. */
  data: T;
  /** The resume point after it. */
  from: string;
}

export interface Presence {
  principal: string;
  /** RFC 3339 */
  since: string;
}

/** EddaError is every error of the client. */
export class EddaError extends Error {
  constructor(reason: string, detail?: string, options?: { code?: string; id?: string; cause?: unknown });
  /** A gRPC code name: "unavailable". */
  readonly code: string;
  /** What programs branch on: "OUTCOME_UNKNOWN". Those of HTTP, and UNREACHABLE. */
  readonly reason: string;
  /** For people. */
  readonly detail: string;
  /** Of the request, where it is stored. */
  readonly id: string | undefined;
}
