package Chatmaid::Test::Client;

# The callers: an HTTP client whose requests may overlap, and a raw one that
# says exactly what it is told.  An answer is a hash:
#
#   status (0 where there is none), headers (lower case => value, repeats joined
#   by ", "), body (bytes), json, error (what broke the connection), raw

use Mojo::Base -base, -signatures;
use Carp qw(croak);
use Chatmaid::Test::World qw(seen patience certificates);
use IO::Select;
use IO::Socket::IP;
use Mojo::JSON qw(decode_json encode_json);
use Mojo::Message::Response;
use Mojo::UserAgent;
use Socket qw(SOL_SOCKET SO_LINGER IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time sleep);

# Large answers would go through a temporary file, several times over.
BEGIN { $ENV{MOJO_MAX_MEMORY_SIZE} //= 64 * 1024 * 1024 }

has base      => '';             # prefixed to what is not a whole URL
has keepalive => 0;
has timeout   => 120;            # more than any answer takes, on any machine
has public    => 1;              # look for secrets in its answers
has 'tls_options';

has agent => sub ($self) {
    my $agent = Mojo::UserAgent->new(max_redirects => 0, inactivity_timeout => 0,
        connect_timeout => 60, request_timeout => patience($self->timeout),
        max_response_size => 0);
    $agent->max_connections(0) unless $self->keepalive;
    $agent->ca(certificates->crt('ca')) if $self->base !~ /^http:/;
    my $tls = $self->tls_options // {};
    $agent->$_($tls->{$_}) for keys %$tls;       # cert, key, insecure
    return $agent;
};


# --- Requests ----------------------------------------------------------------

sub get  ($self, $path, @headers)        { $self->request(GET => $path, undef, @headers) }
sub post ($self, $path, $body, @headers) { $self->request(POST => $path, $body, @headers) }
sub request ($self, @request)            { $self->later(@request)->result }

# Sends a request and comes back once it is written.  A body that is a reference
# goes as JSON.  A header whose value is undef is left out, an array is repeated.

sub later ($self, $method, $path, $body = undef, @headers) {
    my $url = $path =~ /^https?:/ ? $path : $self->base . $path;
    my $tx  = $self->agent->build_tx($method => $url);
    my $out = $tx->req->headers;

    if (defined $body) {
        $out->content_type('application/json');
        $tx->req->body(ref $body ? encode_json($body) : $body);
    }
    while (my ($name, $value) = splice @headers, 0, 2) {
        $out->remove($name);
        $out->add($name => $_) for grep { defined } ref $value ? @$value : $value;
    }

    my $pending = Chatmaid::Test::Client::Pending->new(tx => $tx);
    my $written;
    $tx->req->on(finish => sub { $written = 1 });
    $self->agent->start($tx => sub ($agent, $tx) {
        $pending->answer(answer_of($tx->res, $tx->error));
        seen("the answer to $method $path", $pending->answer->{raw}) if $self->public;
    });
    Mojo::IOLoop->one_tick until $written || $pending->answer;
    return $pending;
}

sub answer_of ($res, $error, $raw = undef) {
    my $names = $res->headers->names;
    my $body  = $res->body;
    my $head  = join '', map { my $name = $_;
        map { "$name: $_\n" } @{$res->headers->every_header($name)} } sort @$names;

    return {
        status  => $res->code // 0,
        headers => {map { lc $_ => $res->headers->header($_) } @$names},
        body    => $body,
        json    => scalar eval { decode_json("$body") },     # which may change it
        error   => $error && !$error->{code} ? $error->{message} : undef,
        raw     => $raw // "$head\n$body",
    };
}

# A request under way.

package Chatmaid::Test::Client::Pending {
    use Mojo::Base -base, -signatures;

    has [qw(tx answer)];

    sub done ($self) { defined $self->answer }

    sub result ($self) {
        Mojo::IOLoop->one_tick until $self->done;
        return $self->answer;
    }

    # Hangs up.
    sub abort ($self) { Mojo::IOLoop->remove($self->tx->connection); return $self->result }
}


# --- Raw bytes ---------------------------------------------------------------

# Writes $bytes, or pieces one after the other (a code reference among them is
# called in its turn), then reads a whole answer.  Options:
#
#   abort => 'close' | 'reset'   hang up after writing, read nothing
#   abort => 'half'              shut down our side, then read
#   abort_after => BYTES         hang up within what is written
#   gap => SECONDS               between pieces (0.002), so that they arrive apart
#   all => 1                     read until the server closes (pipelines)
#   deadline => SECONDS          stop reading then (60); error is "deadline"
#   tls => {options}             over TLS, as IO::Socket::SSL takes them

package Chatmaid::Test::Client;

sub raw ($port, $bytes, %option) {
    my $socket = dial($port, $option{tls});
    my @pieces = ref $bytes ? @$bytes : $bytes;
    my $left   = $option{abort_after};
    my $abort  = $option{abort} // (defined $left ? 'reset' : '');
    my $head   = '';

    for my $i (0 .. $#pieces) {
        my $piece = $pieces[$i];
        if (ref $piece) { $piece->(); next }
        if (defined $left) {
            $piece = substr $piece, 0, $left;
            $left -= length $piece;
        }
        $head .= $piece if length $head < 10;
        put($socket, $piece) or last;
        sleep($option{gap} // 0.002) if $i < $#pieces;
    }

    return hang_up($socket, $abort) if $abort =~ /^(?:close|reset)$/;
    shutdown $socket, 1 if $abort eq 'half';

    my $bare = $head =~ /^HEAD / ? 1 : 0;       # its answer has a length and no body
    my ($raw, $res, $error) = take($socket, $bare, %option);
    close $socket;
    seen('a raw answer', $raw);
    return answer_of($res, $error && {message => $error}, $raw);
}

sub dial ($port, $tls) {
    my $socket = IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port,
        Timeout => 60) or croak "cannot connect to port $port: $@";
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    return $socket unless $tls;

    require IO::Socket::SSL;
    return IO::Socket::SSL->start_SSL($socket, SSL_ca_file => certificates->crt('ca'),
        SSL_hostname => 'localhost', SSL_verifycn_name => 'localhost',
        SSL_verifycn_scheme => 'http', ref $tls ? %$tls : ())
        || croak "TLS to port $port: $IO::Socket::SSL::SSL_ERROR";
}

sub put ($socket, $bytes) {
    while (length $bytes) {
        my $n = syswrite $socket, $bytes or return 0;    # refused early: read why
        substr $bytes, 0, $n, '';
    }
    return 1;
}

sub hang_up ($socket, $how) {
    setsockopt $socket, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $how eq 'reset';
    $socket->isa('IO::Socket::SSL') ? $socket->close(SSL_no_shutdown => 1) : close $socket;
    return {status => 0, headers => {}, body => '', raw => '', error => $how};
}

# (all bytes, the first answer in them, what was wrong)

sub take ($socket, $bare, %option) {
    my $select = IO::Select->new($socket);
    my $end    = time + patience($option{deadline} // 60);
    my ($raw, $res, $error) = ('');

    until ($res && $res->is_finished && !$option{all}) {
        my $pending = $socket->can('pending') && $socket->pending;
        my $wait    = $end - time;
        if (!$pending && ($wait <= 0 || !$select->can_read($wait))) {
            $error = 'deadline';
            last;
        }

        my $n = sysread $socket, my $bytes, 65536;
        $error = defined $n ? 'closed' : "$!" and last unless $n;
        $raw .= $bytes;
        $res ? $res->parse($bytes) : ($res = answer_in($raw, $bare));
    }

    # What has no length ends with the connection.
    $res //= Mojo::Message::Response->new;
    $res->finish if ($error // '') eq 'closed'
        && $res->content->relaxed && !$res->content->is_chunked;
    undef $error if ($error // '') eq 'closed' && $res->is_finished;
    return ($raw, $res, $error);
}

# Interim answers are passed over.
sub answer_in ($raw, $bare) {
    1 while $raw =~ s/\AHTTP\/1\.[01] 1\d\d.*?\x0d\x0a\x0d\x0a//s;
    return undef unless $raw =~ /\A(?!HTTP\/1\.[01] 1).*?\x0d\x0a\x0d\x0a/s;

    my $res = Mojo::Message::Response->new(max_message_size => 0);
    $res->content->auto_decompress(0)->skip_body($bare);
    return $res->parse($raw);
}

1;
