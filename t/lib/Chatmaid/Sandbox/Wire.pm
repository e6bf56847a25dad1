package Chatmaid::Sandbox::Wire;

# The two ends of a connection that Mojolicious normally hides: the request as
# it was on the wire, and answers no well-behaved server would give.

use Mojo::Base -strict, -signatures;
use Exporter 'import';
use Mojo::IOLoop;
use Socket qw(SOL_SOCKET SO_LINGER);

our @EXPORT_OK = qw(write_answer drop is_wire_fault);

# Members of a fault that a conforming server cannot express.
my @WIRE = qw(truncate chunked drip raw length interim oversize);


# --- In: keep the bytes ------------------------------------------------------

# Mojolicious normalizes the target and forgets the order of headers, and both
# are what the gateway promises not to change.  The messages below are parsed
# as usual, but remember what they were parsed from.

package Chatmaid::Sandbox::Wire::Headers {
    use Mojo::Base 'Mojo::Headers', -signatures;

    sub parse ($self, $chunk) {
        $self->{wire} .= $chunk;
        return $self->SUPER::parse($chunk);
    }

    sub in_order ($self) {
        my ($head) = ($self->{wire} // '') =~ /\A(.*?)(?:(?<=\x0a)|\A)\x0d?\x0a/s;
        return [map { /^([^:]*):[ \t]*(.*?)[ \t]*\x0d?$/ ? [$1, $2] : [$_, undef] }
                split /\x0a/, $head // ''];
    }
}

package Chatmaid::Sandbox::Wire::Request {
    use Mojo::Base 'Mojo::Message::Request', -signatures;

    sub new ($class, @args) {
        my $self = $class->SUPER::new(@args);
        $self->content->headers(Chatmaid::Sandbox::Wire::Headers->new(
            max_line_size => 65536));
        return $self->max_line_size(65536);
    }

    sub extract_start_line ($self, $bufref) {
        ($self->{wire}) = $$bufref =~ /^\s*(.*?)\x0d?\x0a/;
        return $self->SUPER::extract_start_line($bufref);
    }

    sub target ($self) { (split / /, $self->{wire} // '')[1] }
}


# --- Out: write what the fault says ------------------------------------------

package Chatmaid::Sandbox::Wire;

sub is_wire_fault ($fault) { scalar grep { defined $fault->{$_} } @WIRE }

# Writes an answer straight to the connection and closes it, because
# Mojolicious no longer knows where in the stream it stands.  The test says
# "Connection: keep-alive" in the fault's headers if the gateway should be
# misled about that too.

sub write_answer ($id, $fault, $status, $headers, $body) {
    my $stream = Mojo::IOLoop->stream($id) or return;

    return finish($stream, $fault, $fault->{raw}) if defined $fault->{raw};

    my $head = '';
    $head .= "HTTP/1.1 $fault->{interim} Early Hints\x0d\x0aLink: </a>\x0d\x0a\x0d\x0a"
        if $fault->{interim};
    $head .= "HTTP/1.1 $status " . ($fault->{reason} // 'Sandbox') . "\x0d\x0a";

    my @headers = @$headers;
    push @headers, [Connection => 'close']
        unless grep { lc $_->[0] eq 'connection' } @headers;
    push @headers, framing($fault, $body);
    $head .= "$_->[0]: $_->[1]\x0d\x0a" for @headers;
    $head .= "\x0d\x0a";

    my $sent = $fault->{chunked} ? in_chunks($fault, $body) : $body;
    $sent = substr $sent, 0, $fault->{truncate} if defined $fault->{truncate};

    finish($stream, $fault, $head . $sent);
}

sub framing ($fault, $body) {
    return ['Transfer-Encoding' => 'chunked'] if $fault->{chunked};

    my $length = $fault->{length} // length $body;
    return () if $length eq 'none';             # the body ends with the connection
    return ['Content-Length' => $length];
}

# Cuts the body into the given number of chunks.  A truncated one is cut later
# and so lacks at least its last chunk.

sub in_chunks ($fault, $body) {
    my $size = int(length($body) / $fault->{chunked}) || 1;
    return join('', map { sprintf "%x\x0d\x0a%s\x0d\x0a", length, $_ }
                    unpack "(a$size)*", $body) . "0\x0d\x0a\x0d\x0a";
}

# Piece by piece: when dripping, each armed by the timer of the one before, so
# that they really are separate TLS records; else because a TLS write copies all
# it is given each time it is called, which for some megabytes takes seconds.

sub finish ($stream, $fault, $bytes) {
    my $drip = $fault->{drip};
    my $size = $drip ? $drip->{bytes} // 1 : 65536;

    my $next;
    $next = sub (@) {
        my $piece = substr $bytes, 0, $size, '';
        if (!length $bytes || !$stream->handle) {
            undef $next;
            return $stream->write($piece)->close_gracefully;
        }
        return $stream->write($piece => $next) unless $drip;
        $stream->write($piece);
        Mojo::IOLoop->timer(($drip->{every} // 1) / 1000 => $next);
    };
    $next->();
}

# Ends the connection without an answer, by FIN or by RST.

sub drop ($id, $reset = 0) {
    my $stream = Mojo::IOLoop->stream($id) or return;

    setsockopt $stream->handle, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $reset;
    $stream->close;
}

1;
