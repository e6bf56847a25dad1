package Chatmaid::Test::Sdk;

# A client that calls as Chatmaid's official JavaScript SDK (0.3.0) is known to:
# its URLs, headers, retries, waits, and its reading of what it is answered.
#
#   my $sdk = Chatmaid::Test::Sdk->new(base_url => url('/chatmaid/v1'), key => 'any');
#   $sdk->send({fromPhoneId => …, to => …, content => …})->{id};
#   my $error = $sdk->caught(sub { $sdk->message('msg_none') });
#
# A call dies with a Chatmaid::Test::Sdk::Error: kind, status, code, details,
# path, retry_after, request_id.  "waits" has the pauses it made, "attempts" the
# requests of the last call.

use Mojo::Base -base, -signatures;
use Chatmaid::Test::Client;
use Mojo::IOLoop;
use Mojo::JSON qw(encode_json);
use Mojo::Util qw(url_escape);
use Time::HiRes qw(time);

has base_url => 'https://developers-api.chatmaid.net/v1';
has key      => sub { die 'a key is required' };
has waits    => sub { [] };
has attempts => 0;
has patience => 60;                     # a pause of more is a failure of the test
has on_sent  => sub { sub ($attempt) { } };
has client   => sub ($self) {
    Chatmaid::Test::Client->new(base => $self->base_url, keepalive => 1, timeout => 30);
};

my $MORE = 2;                           # retries


# --- The calls ---------------------------------------------------------------

# A fresh key in every send unless the caller gives one.

sub send ($self, $message) {
    for my $name (qw(fromPhoneId to)) {
        die "$name is required" unless length($message->{$name} // '');
    }
    die 'content or mediaUrls is required'
        unless length($message->{content} // '') || @{$message->{mediaUrls} // []};
    return $self->call(POST => 'messages/send', undef, {idempotencyKey => uuid(), %$message});
}

sub messages ($self, %query)        { $self->call(GET => 'messages', \%query) }
sub message ($self, $id)            { $self->call(GET => 'messages/' . part($id)) }
sub inbound ($self, %query)         { $self->call(GET => 'messages/inbound', \%query) }
sub inbound_message ($self, $id)    { $self->call(GET => 'messages/inbound/' . part($id)) }
sub groups ($self, $from)           { $self->call(GET => 'groups', {fromPhoneId => $from}) }
sub phones ($self)                  { $self->call(GET => 'phone-numbers') }
sub phone ($self, $id)              { $self->call(GET => 'phone-numbers/' . part($id)) }
sub phone_status ($self, $id)       { $self->call(GET => 'phone-numbers/' . part($id) . '/status') }
sub account ($self)                 { $self->call(GET => 'account') }
sub usage ($self, %query)           { $self->call(GET => 'account/usage', \%query) }

# All messages, page by page, until the pages end or are not told.

sub every_message ($self, %query) {
    my ($page, @all) = (1);
    while (1) {
        my $list = $self->messages(limit => 50, %query, page => $page);
        die 'a list without data' unless ref $list eq 'HASH' && ref $list->{data} eq 'ARRAY';
        push @all, @{$list->{data}};
        return @all if $page++ >= ($list->{pagination}{totalPages} // 1);
    }
}

# encodeURIComponent, and what URLSearchParams makes of a query.
sub part ($text) { url_escape $text, q{^A-Za-z0-9\-_.!~*'()} }

sub search (%query) {
    return join '&', map { my $name = $_; "$name=" . url_escape($query{$name}, '^A-Za-z0-9\-_.* ') =~ tr/ /+/r }
        sort grep { defined $query{$_} } keys %query;
}

sub uuid () {
    return join '-', map { join '', map { sprintf '%04x', rand 65536 } 1 .. $_ / 4 } 8, 4, 4, 4, 12;
}


# --- One call ----------------------------------------------------------------

sub call ($self, $method, $path, $query = undef, $body = undef) {
    my $base = $self->base_url =~ s{/+\z}{}r;
    my $url  = "$base/$path";
    $url .= '?' . search(%$query) if $query && %$query;

    for my $attempt (0 .. $MORE) {
        $self->attempts($attempt + 1);
        my $answer = $self->request($method, $url, $body);
        my $error  = $self->error_of($answer) // return $self->data_of($answer);
        die $error if $attempt == $MORE || !again($method, $error);
        $self->pause($error->retry_after // 0.5 * 2 ** $attempt + rand 0.1);
    }
}

# What the SDK sets, and what Node's fetch adds to it.

sub request ($self, $method, $url, $body) {
    my $pending = $self->client->later($method => $url, $body && encode_json($body),
        Authorization     => 'Bearer ' . $self->key,
        Accept            => 'application/json',
        'User-Agent'      => 'chatmaid-sdk-js/0.3.0',
        'Accept-Language' => '*',
        'Sec-Fetch-Mode'  => 'cors',
        'Accept-Encoding' => 'gzip, deflate, br',
        $body ? ('Content-Type' => 'application/json') : ());
    $self->on_sent->($self->attempts);
    return $pending->result;
}

# A 429 is retried whatever the method, and so is a network that failed; an
# error of the server where nothing can have been done; a timeout never.

sub again ($method, $error) {
    return 1 if $error->kind =~ /^(?:rate limit|network)$/;
    return $error->kind eq 'server' && $method =~ /^(?:GET|DELETE)$/;
}

sub pause ($self, $seconds) {
    push @{$self->waits}, $seconds;
    die "told to wait for $seconds s" if $seconds > $self->patience;
    my $end = time + $seconds;
    Mojo::IOLoop->timer($seconds => sub { });
    Mojo::IOLoop->one_tick while time < $end;
}


# --- Its reading of answers --------------------------------------------------

# It unwraps where there is a "success", whatever that says, and keeps quiet of
# what is no JSON.

sub data_of ($self, $answer) {
    my $json = $answer->{json};
    return ref $json eq 'HASH' && exists $json->{success} ? $json->{data} : $json;
}

my %KIND = (401 => 'authentication', 403 => 'permission', 404 => 'not found', 429 => 'rate limit');

sub error_of ($self, $answer) {
    my $status = $answer->{status};
    return undef if $status =~ /^2/;
    return Chatmaid::Test::Sdk::Error->new(kind => $answer->{error} =~ /timeout/i ? 'timeout' : 'network',
        details => [$answer->{error}]) if $answer->{error};

    my $json    = ref $answer->{json} eq 'HASH' ? $answer->{json} : {};
    my $message = $json->{message};
    return Chatmaid::Test::Sdk::Error->new(
        status      => $status,
        kind        => $KIND{$status} // ($status =~ /^4/ ? 'validation' : 'server'),
        code        => $json->{error} // "HTTP_$status",
        details     => ref $message eq 'ARRAY' ? $message : defined $message ? [$message] : [],
        path        => $json->{path},
        retry_after => $status == 429 ? $json->{retryAfter} : undef,
        request_id  => $answer->{headers}{'x-request-id'} // $answer->{headers}{'x-amzn-requestid'},
        answer      => $answer,
    );
}

# What a call dies with; undef where it does not.

sub caught ($self, $code) {
    return undef if eval { $code->(); 1 };
    my $error = $@;
    die $error unless ref $error && $error->isa('Chatmaid::Test::Sdk::Error');
    return $error;
}

package Chatmaid::Test::Sdk::Error {
    use Mojo::Base -base;
    use overload '""' => sub { my $self = shift;
        join ' ', map { $_ // '-' } $self->kind, $self->status, $self->code, @{$self->details} }, fallback => 1;

    has [qw(kind status code details path retry_after request_id answer)];
}

1;
